"""SimulatedEngine: what runs the steps of one scheduler on a virtual clock.

Swaps keep the `slots` most recently used generations warm. A job may end before its
`max_tokens`, as with an end token. The host takes no time: launching `ahead` gains
nothing here, and shows what it costs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from itertools import pairwise
from typing import Protocol

from scheduler.costs import Mode, StepShape
from scheduler.decision import Outcome, Step, Swap
from scheduler.job import BASE, Job
from scheduler.scheduler import Scheduler

_LINGER = 8  # mixed steps, as in hotswap.model.eager.batched_lora


class CostTable(Protocol):
    """What steps and swaps really take."""

    def step_s(self, shape: StepShape) -> float: ...
    def swap_s(self, *, warm: bool, rank: int = 0) -> float: ...


@dataclass(slots=True)
class Run:
    """What happened: times in seconds by job id, and every step in order, if kept."""

    keeps_steps: bool = True
    arrived_at: dict[int, float] = field(default_factory=dict)
    first_token_at: dict[int, float] = field(default_factory=dict)
    finished_at: dict[int, float] = field(default_factory=dict)
    token_at: dict[int, list[float]] = field(default_factory=dict)  # if kept
    steps: list[Step] = field(default_factory=list)
    tokens: dict[Mode, int] = field(default_factory=lambda: dict.fromkeys(Mode, 0))
    swaps: int = 0
    cold: int = 0  # of the swaps, those that had to build a slot first
    reads: int = 0  # of adapters that were not in memory, in a fleet
    built: int = 0  # slots built between the steps of another turn
    wasted: int = 0  # rows of jobs that turned out to have ended in the step before
    busy_s: float = 0.0  # in steps
    swap_s: float = 0.0  # in swaps, and building slots
    end: float = 0.0

    def gaps(self, jobs: Iterable[Job]) -> list[float]:
        """Seconds between two tokens of one of these jobs, the shortest first."""
        times = (self.token_at[job.id] for job in jobs)
        return sorted(b - a for at in times for a, b in pairwise(at))


class Slots:
    """Which slots are built, and what building takes."""

    def __init__(self, table: CostTable, count: int) -> None:
        self.resident = BASE
        self.warm: list[str] = []  # most recently used first
        self._table = table
        self._count = count
        self._begun: dict[str, float] = {}  # seconds spent on a slot not whole yet

    def holds(self, generation: str) -> bool:
        return generation == BASE or generation in self.warm

    def activate(self, generation: str, rank: int) -> Swap | None:
        if generation == self.resident:
            return None
        held = self.holds(generation)
        self.resident = generation
        if generation != BASE:
            self._hold(generation)
        return Swap(warm=held, seconds=self._table.swap_s(warm=held, rank=rank))

    def build(self, generation: str, rank: int, budget_s: float) -> tuple[float, bool]:
        """A slice no longer than the budget: its seconds, and whether that was all."""
        whole = self._table.swap_s(warm=False, rank=rank)
        begun = self._begun.get(generation, 0.0)
        seconds = min(budget_s, whole - begun)
        self._begun = {generation: begun + seconds}
        if begun + seconds < whole:
            return seconds, False
        self._begun = {}
        self._hold(generation)
        return seconds, True

    def _hold(self, generation: str) -> None:
        others = [name for name in self.warm if name != generation]
        self.warm = [generation, *others][: self._count]


class Stack:
    """Whose factors lie beside the weights for mixed steps, as the CPU's executor has
    them: one that a step lacks is taken in first, which takes `take_s`; who was not
    used for some such steps leaves when a third are so."""

    def __init__(self, take_s: float) -> None:
        self.take_s = take_s
        self._used: dict[str, int] = {}  # the last step that had it
        self._steps = 0

    def taken(self, step: Step) -> int:
        """How many come with a step."""
        if not self.take_s or step.plan.mode is not Mode.MIXED:
            return 0
        wanted = {job.generation for job, _, _ in step.work} - {BASE}
        newcomers = len(wanted - self._used.keys())
        self._steps += 1
        self._used |= dict.fromkeys(wanted, self._steps)
        oldest = self._steps - _LINGER
        kept = {name: at for name, at in self._used.items() if at >= oldest}
        if 3 * (len(self._used) - len(kept)) >= len(self._used):
            self._used = kept
        return newcomers


@dataclass(slots=True, kw_only=True)
class _Flight:
    """A step on the machine, and which of its tokens each job has with it."""

    step: Step
    swap: Swap | None
    seconds: float
    restacked: bool  # see `Outcome`
    ends_at: float
    numbers: list[tuple[Job, int]]


@dataclass(slots=True)
class SimulatedEngine:
    """What runs the steps, and tells the scheduler."""

    scheduler: Scheduler
    table: CostTable
    run: Run
    slots: InitVar[int]
    ranks: Mapping[str, int]
    last: Mapping[int, int]  # tokens after which a job ends
    ahead: bool = False
    take_s: InitVar[float] = 0.0  # an adapter that the mixed steps before had not
    now: float = 0.0
    air: _Flight | None = None
    held: Slots = field(init=False)
    stack: Stack = field(init=False)

    def __post_init__(self, slots: int, take_s: float) -> None:
        self.held, self.stack = Slots(self.table, slots), Stack(take_s)

    def step(self, step: Step) -> list[int]:
        """Run a step, or launch it while the one before is in the air, and land that.
        Returns the jobs that have ended."""
        wanted = step.plan.generation or BASE  # a mixed step runs on golden
        finished = [] if self.held.holds(wanted) else self.land()
        if finished and all(job.id in self.run.finished_at for job, _, _ in step.work):
            return finished  # nobody is left
        flight = self._launch(step, wanted)
        if self.ahead:
            self.scheduler.advance(step)
            finished += self.land()
        self.air = flight
        if not self.ahead or step.plan.build_ahead is not None:
            finished += self.land()
        if step.plan.build_ahead is not None:
            self._build(step.plan.build_ahead, flight.seconds)
        return finished

    def land(self) -> list[int]:
        """Wait for the step in the air, if there is one. Returns who has ended."""
        flight, self.air = self.air, None
        if flight is None:
            return []
        self.now, step = flight.ends_at, flight.step
        finished = _finish(flight, self.run, self.last)
        outcome = Outcome(
            seconds=flight.seconds,
            swap=flight.swap,
            finished=frozenset(finished),
            warm=frozenset(self.held.warm),
            restacked=flight.restacked,
        )
        self.scheduler.report(step, outcome, self.now)
        return finished

    def _launch(self, step: Step, wanted: str) -> _Flight:
        swap = self.held.activate(wanted, self.ranks.get(wanted, 0))
        taken = self.stack.taken(step)
        seconds = self.table.step_s(step.shape) + taken * self.stack.take_s
        swap_s = swap.seconds if swap else 0.0
        begins_at = self.air.ends_at if self.air else self.now
        if self.air is None:
            self.now += swap_s  # the next one is decided when this one begins
        return _Flight(
            step=step,
            swap=swap,
            seconds=seconds,
            restacked=taken > 0,
            ends_at=begins_at + (seconds + swap_s),
            numbers=[
                (job, job.generated + 1)
                for job, tokens, is_prefill in step.work
                if not is_prefill or tokens == job.unfilled_tokens
            ],
        )

    def _build(self, generation: str, budget_s: float) -> None:
        """A slice as long as the step, as the engine does."""
        rank, run = self.ranks[generation], self.run
        seconds, is_whole = self.held.build(generation, rank, budget_s)
        self.now += seconds
        run.swap_s += seconds
        if is_whole:
            cold_s = self.table.swap_s(warm=False, rank=rank)
            self.scheduler.built_ahead(generation, cold_s)
            run.built += 1


def _finish(flight: _Flight, run: Run, last: Mapping[int, int]) -> list[int]:
    """Note what a step did; returns who has ended with it."""
    step, now, finished, wasted = flight.step, flight.ends_at, [], 0
    for job, number in flight.numbers:
        if job.id in run.finished_at:
            wasted += 1
            continue
        if number == 1:
            run.first_token_at[job.id] = now
        if run.keeps_steps:
            run.token_at.setdefault(job.id, []).append(now)
        if number >= last[job.id]:
            finished.append(job.id)
            run.finished_at[job.id] = now
    run.busy_s += flight.seconds
    run.tokens[step.plan.mode] += len(step.work) - wasted
    run.wasted += wasted
    if run.keeps_steps:
        run.steps.append(step)
    if flight.swap is not None:
        run.swaps += 1
        run.cold += not flight.swap.warm
        run.swap_s += flight.swap.seconds
    return finished
