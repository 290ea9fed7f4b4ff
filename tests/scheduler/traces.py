"""Helpers of the scheduler's tests: jobs, seeded traces, a machine of known costs.

Time is a number that the test advances; every trace is built anew from its seed.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.baselines import CONTENDERS
from scheduler import (
    BASE,
    Costs,
    Idle,
    Job,
    Mode,
    Outcome,
    Scheduler,
    SchedulerLimits,
    Step,
    StepShape,
)
from scheduler.decision import Decision
from scheduler.policy import Plan, Policy, View, merged, mixed


def job(
    number: int,
    generation: str = "a",
    *,
    prompt: int = 4,
    tokens: int = 4,
    arrival: float | None = None,
    **rest: Any,
) -> Job:
    """A job; unless told otherwise it arrives `number` milliseconds after zero."""
    return Job(
        id=number,
        generation=generation,
        prompt_tokens=prompt,
        max_tokens=tokens,
        arrival=number / 1000 if arrival is None else arrival,
        **rest,
    )


class Machine(Costs):
    """A machine whose costs are exactly known: nothing is learned, it is told."""

    def __init__(
        self,
        *,
        step: float = 0.010,
        sequence: float = 0.0002,
        adapter: float = 0.002,
        prefill: float = 0.00005,
        rank: float = 0.0,
        context: float = 0.0,
        warm: float = 0.001,
        cold: float = 0.050,
    ) -> None:
        super().__init__()
        self._parts = (step, sequence, adapter, prefill)
        self._rank, self._context = rank, context
        self._swap_times = {True: warm, False: cold}

    def step_s(self, shape: StepShape) -> float:
        step, sequence, adapter, prefill = self._parts
        beside = shape.adapters * adapter + shape.ranks * self._rank
        rows = shape.sequences * sequence + shape.context_tokens * self._context
        rows += shape.prefill_tokens * prefill
        return step + rows + (beside if shape.mode is Mode.MIXED else 0.0)

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        return self._swap_times[warm]


def flat(merged_s: float, mixed_s: float, swap_s: float = 0.0) -> Machine:
    """Steps that cost the same whatever their size; `mixed_s` is for two adapters."""
    adapter = (mixed_s - merged_s) / 2
    return Machine(
        step=merged_s, sequence=0, adapter=adapter, prefill=0, warm=swap_s, cold=swap_s
    )


class Checked(Scheduler):
    """A scheduler whose books are checked after every move."""

    def decide(self, now: float) -> Decision:
        decision = super().decide(now)
        self.check()
        assert isinstance(decision, Idle) == (self.waiting + self.live == 0)
        return decision

    def report(self, step: Step, outcome: Outcome, now: float) -> None:
        super().report(step, outcome, now)
        self.check()


class Merge:
    """A policy that merges one generation, whoever waits."""

    def __init__(self, generation: str) -> None:
        self.generation = generation

    def choose(self, view: View) -> Plan:
        return merged(self.generation, "told to")


class Whim:
    """A policy without sense, but lawful: any generation that is runnable, or mixed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def choose(self, view: View) -> Plan:
        loads = view.runnable(view.backlog.by_age())
        plans = [merged(x.generation, "a whim") for x in loads if x.can_merge]
        if view.front.generations:
            plans.append(mixed("a whim"))
        return self._random.choice(plans)


def scheduler(
    policy: str | Policy = "fcfs-mixed",
    *,
    kv_tokens: int = 1000,
    max_batch: int = 8,
    max_waiting: int = 1000,
    prefill_tokens: int = 16,
    patience_s: float = 1.0,
    max_mixed_adapters: int | None = None,
    switch_budget: float = 0.05,
    builds_ahead: bool = True,
    costs: Costs | None = None,
    checked: bool = True,
) -> Scheduler:
    """`checked`: after every move, which takes as long as there are jobs."""
    return (Checked if checked else Scheduler)(
        CONTENDERS[policy]() if isinstance(policy, str) else policy,
        SchedulerLimits(
            kv_tokens=kv_tokens,
            max_batch=max_batch,
            max_waiting=max_waiting,
            prefill_tokens=prefill_tokens,
            patience_s=patience_s,
            max_mixed_adapters=max_mixed_adapters,
            switch_budget=switch_budget,
        ),
        builds_ahead=builds_ahead,
        costs=costs,
    )


def decided(scheduler: Scheduler, now: float = 0.0) -> Step:
    step = scheduler.decide(now)
    assert isinstance(step, Step)
    return step


def outcome(step: Step, seconds: float = 0.01) -> Outcome:
    """What an engine would report: jobs finish at their last token."""
    last = {
        work.job.id
        for work in step.work
        if work.tokens >= work.job.unfilled_tokens
        and work.job.generated + 1 >= work.job.max_tokens
    }
    return Outcome(
        seconds=seconds, swap=None, finished=frozenset(last), warm=frozenset()
    )


def advance(scheduler: Scheduler, now: float = 0.0) -> Step:
    """One whole step: decide, run, report."""
    step = decided(scheduler, now)
    scheduler.report(step, outcome(step), now)
    return step


def run_dry(scheduler: Scheduler, now: float = 0.0, limit: int = 10_000) -> list[Step]:
    """Step until idle."""
    steps: list[Step] = []
    while not isinstance(scheduler.decide(now), Idle):
        assert len(steps) < limit, f"no end in sight: {scheduler!r}"
        steps.append(advance(scheduler, now))
        now += 0.01
    return steps


def ids(step: Step) -> list[int]:
    return [work.job.id for work in step.work]


def seeded(
    seed: int, *, jobs: int = 60, rate: float = 40.0, weights: tuple[int, ...] = (1,)
) -> list[Job]:
    """Poisson arrivals; generations base, g1, g2... as popular as `weights` say."""
    random = Random(seed)
    names = [BASE, *(f"g{n}" for n in range(1, len(weights)))]
    now = 0.0
    trace = []
    for number in range(jobs):
        now += random.expovariate(rate)
        generation = random.choices(names, weights)[0]
        prompt, tokens = random.randint(1, 40), random.randint(1, 20)
        trace.append(job(number, generation, prompt=prompt, tokens=tokens, arrival=now))
    return trace


def with_modes(trace: list[Job]) -> list[Job]:
    """g1 is served merged only, g2 must not be merged."""
    for each in trace:
        each.can_mix = each.generation != "g1"
        each.can_merge = each.generation != "g2"
    return trace


def with_priorities(trace: list[Job], seed: int) -> list[Job]:
    """Some are urgent, some have a deadline, some are in no hurry."""
    random = Random(seed)
    for each in trace:
        each.priority = random.choice([-1, 0, 0, 3])
        each.deadline = random.choice([None, each.arrival + random.random()])
    return trace


def burst(seed: int) -> list[Job]:
    """Everybody at once: arrivals tie."""
    trace = seeded(seed, weights=(1, 1, 1, 1))
    for each in trace:
        each.arrival = float(each.id // 20)
    return trace


TRACES: dict[str, Callable[[], list[Job]]] = {
    "one generation": lambda: seeded(1),
    "even": lambda: seeded(2, weights=(1, 1, 1, 1, 1)),
    "one is hot": lambda: seeded(3, weights=(1, 20, 1, 1)),
    "overload": lambda: seeded(4, rate=1000.0, weights=(3, 2, 1)),
    "trickle": lambda: seeded(5, rate=3.0, weights=(1, 1, 1)),
    "burst": lambda: burst(6),
    "modes": lambda: with_modes(seeded(7, weights=(2, 3, 3, 2))),
    "modes, overload": lambda: with_modes(seeded(8, rate=1e3, weights=(0, 9, 1, 1))),
    "merged only": lambda: with_modes(seeded(9, weights=(0, 1))),
    "priorities": lambda: with_priorities(seeded(10, weights=(1, 1, 1)), 10),
}
