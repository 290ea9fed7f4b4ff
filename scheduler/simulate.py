"""The simulator: the real Scheduler on a virtual clock. Trace and costs in, times out.

Deterministic. The cost table is not the `Costs` that the scheduler learns into, so that
a simulation also shows how well it learns. Swaps keep the `slots` most recently used
generations warm. A job may end before its `max_tokens`, as with an end token: `ends`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from scheduler.costs import Mode, StepShape
from scheduler.decision import Idle, Outcome, Step, Swap
from scheduler.job import BASE, Job
from scheduler.scheduler import Scheduler


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
    built: int = 0  # slots built between the steps of another turn
    busy_s: float = 0.0  # in steps
    swap_s: float = 0.0  # in swaps, and building slots
    end: float = 0.0

    def gaps(self, jobs: Iterable[Job]) -> list[float]:
        """Seconds between two tokens of one of these jobs, the shortest first."""
        times = (self.token_at[job.id] for job in jobs)
        return sorted(b - a for at in times for a, b in pairwise(at))


class _Arrivals:
    """Jobs in the order of the trace. In a closed loop a job arrives as soon as fewer
    are there than its line has clients: one line for all, or one for each generation
    that `clients` names; the others come when the trace says."""

    def __init__(
        self, trace: Iterable[Job], clients: int | Mapping[str, int] | None
    ) -> None:
        self._clients = clients
        self._queues: dict[str, list[Job]] = {}
        self._present: Counter[str] = Counter()
        for job in list(trace)[::-1]:
            self._queues.setdefault(self._queue_of(job), []).append(job)

    def due(self, now: float) -> Iterator[Job]:
        for name, queue in self._queues.items():
            most = self._most(name)
            while queue and (
                queue[-1].arrival <= now if most is None else self._present[name] < most
            ):
                job = queue.pop()
                if most is not None:
                    job.arrival = now
                self._present[name] += 1
                yield job

    def next_s(self) -> float | None:
        """When the next job comes, if all that came have ended."""
        return min(
            (queue[-1].arrival for queue in self._queues.values() if queue),
            default=None,
        )

    def ended(self, job: Job) -> None:
        self._present[self._queue_of(job)] -= 1

    def _queue_of(self, job: Job) -> str:
        clients = self._clients
        return (
            job.generation
            if isinstance(clients, Mapping) and job.generation in clients
            else ""
        )

    def _most(self, queue: str) -> int | None:
        clients = self._clients
        return clients.get(queue) if isinstance(clients, Mapping) else clients


class _Slots:
    """Which slots are built, and what building takes."""

    def __init__(self, table: CostTable, count: int) -> None:
        self.resident = BASE
        self.warm: list[str] = []  # most recently used first
        self._table = table
        self._count = count
        self._begun: dict[str, float] = {}  # seconds spent on a slot not whole yet

    def activate(self, generation: str, rank: int) -> Swap | None:
        if generation == self.resident:
            return None
        held = generation == BASE or generation in self.warm
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


def simulate(
    scheduler: Scheduler,
    trace: Iterable[Job],
    table: CostTable,
    *,
    slots: int = 1,
    clients: int | Mapping[str, int] | None = None,
    ends: Mapping[int, int] | None = None,
    run: Run | None = None,
) -> Run:
    """Serve every job of `trace` (in arrival order) and return what happened.

    With `clients` jobs arrive as in a closed loop: so many at once, then one as each
    ends; by generation, if it is a mapping. `ends`: tokens after which a job ends by
    itself.
    """
    run = run or Run()
    jobs = {job.id: job for job in trace}
    arrivals = _Arrivals(jobs.values(), clients)
    ranks = {job.generation: job.rank for job in jobs.values()}
    last = {job.id: job.max_tokens for job in jobs.values()}
    for job_id, tokens in (ends or {}).items():
        last[job_id] = min(tokens, last[job_id])
    held = _Slots(table, slots)
    now = 0.0
    while True:
        for job in arrivals.due(now):
            run.arrived_at[job.id] = job.arrival
            scheduler.submit(job)
        decision = scheduler.decide(now)
        if isinstance(decision, Idle):
            later = arrivals.next_s()
            if later is None:
                run.end = now
                return run
            now = later
            continue
        wanted = decision.plan.generation or BASE  # a mixed step runs on golden
        swap = held.activate(wanted, ranks.get(wanted, 0))
        seconds = table.step_s(decision.shape)
        now += seconds + (swap.seconds if swap else 0.0)
        finished = _finish(decision, run, last, now)
        for job_id in finished:
            arrivals.ended(jobs[job_id])
        _count(run, decision, seconds, swap)
        warm = frozenset(held.warm)
        outcome = Outcome(seconds=seconds, swap=swap, finished=finished, warm=warm)
        scheduler.report(decision, outcome, now)
        ahead = decision.plan.build_ahead
        if ahead is not None:
            # A slice as long as the step, as the engine does
            slice_s, is_whole = held.build(ahead, ranks[ahead], seconds)
            now += slice_s
            run.swap_s += slice_s
            if is_whole:
                cold_s = table.swap_s(warm=False, rank=ranks[ahead])
                scheduler.built_ahead(ahead, cold_s)
                run.built += 1


def _finish(
    step: Step, run: Run, last: Mapping[int, int], now: float
) -> frozenset[int]:
    """Who ends with this step. `last`: tokens after which a job does."""
    finished = []
    for job, tokens, is_prefill in step.work:
        if is_prefill and job.prefilled + tokens < job.prompt_tokens:
            continue
        if not job.generated:
            run.first_token_at[job.id] = now
        if run.keeps_steps:
            run.token_at.setdefault(job.id, []).append(now)
        if job.generated + 1 >= last[job.id]:
            finished.append(job.id)
            run.finished_at[job.id] = now
    return frozenset(finished)


def _count(run: Run, step: Step, seconds: float, swap: Swap | None) -> None:
    run.busy_s += seconds
    run.tokens[step.plan.mode] += len(step.work)
    if run.keeps_steps:
        run.steps.append(step)
    if swap is not None:
        run.swaps += 1
        run.swap_s += swap.seconds
