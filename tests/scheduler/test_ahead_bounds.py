"""Launching ahead: the same answers as fast, and waits and gaps within their bounds."""

from itertools import product
from random import Random
from typing import Any

import pytest

from scheduler import Costs, Job, Outcome, Scheduler, SchedulerLimits, Step
from scheduler.policies import POLICIES
from scheduler.simulate import simulate
from tests.scheduler.adversaries import ADVERSARIES, MACHINES
from tests.scheduler.test_streams import MADE, Watched
from tests.scheduler.traces import (
    TRACES,
    Machine,
    job,
    scheduler,
    seeded,
)

SLOW = pytest.mark.slow


class Ahead(Watched):
    """Looks at waits, and at gaps between tokens as they land."""

    def __init__(self, costs: Costs, **limits: Any) -> None:
        made = {"max_batch": 8, "prefill_tokens": 64, "patience_s": 0.5} | limits
        told = SchedulerLimits(max_waiting=1000, launches_ahead=True, **made)
        super().__init__(POLICIES["affinity"](), told, costs=costs)
        self.promised: dict[int, float] = {}
        self.left, self._since = [], {}
        self._tokens: dict[int, list[int]] = {}  # by step

    def submit(self, job: Job) -> None:
        super().submit(job)
        assert self.wait_bound_s is not None
        self.promised[job.id] = self.wait_bound_s + self.drain_bound_s

    def advance(self, step: Step) -> list[int]:
        before = {work.job.id: work.job.generated for work in step.work}
        left = super().advance(step)
        self._tokens[id(step)] = [
            job.id for job, _, _ in step.work if job.generated > before[job.id]
        ]
        return left

    def report(self, step: Step, outcome: Outcome, now: float) -> None:
        Scheduler.report(self, step, outcome, now)
        for n in self._tokens.pop(id(step)):
            self.had_token(n, now)


@pytest.mark.parametrize(
    "machine",
    [pytest.param(m, marks=[SLOW] if n else []) for n, m in enumerate(MACHINES)],
)
@pytest.mark.parametrize("kv_tokens", [100_000, pytest.param(400, marks=SLOW)])
@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_no_job_waits_longer_than_the_bound_told_when_it_was_accepted(
    adversary: str, kv_tokens: int, machine: str
) -> None:
    trace, costs = ADVERSARIES[adversary](), MACHINES[machine]()
    it = Ahead(costs, kv_tokens=kv_tokens)

    run = simulate(it, trace, costs, slots=2, ahead=True)

    for each in trace:
        wait = run.first_token_at[each.id] - run.arrived_at[each.id]
        assert wait <= it.promised[each.id]


@pytest.mark.parametrize(
    ("machine", "kv_tokens"),
    [
        ("mixing is dear", 100_000),
        pytest.param("swaps are dear", 100_000, marks=SLOW),
        pytest.param("mixing is dear", 700, marks=SLOW),
    ],
)
@pytest.mark.parametrize("adversary", MADE)
def test_no_gap_within_a_quiet_adapters_stream_is_longer_than_its_bound(
    adversary: str, machine: str, kv_tokens: int
) -> None:
    trace, costs = MADE[adversary](), MACHINES[machine]()
    it = Ahead(costs, kv_tokens=kv_tokens)

    simulate(it, trace, costs, slots=2, ahead=True)

    assert min(it.left) >= 0.0


def test_the_step_in_the_air_is_a_part_of_the_bounds() -> None:
    """The largest there can be, with the dearest swap before it."""
    costs = Machine(step=0.01, sequence=0.0, adapter=0.0, prefill=0.0, cold=0.05)
    bounds = []
    for ahead in (False, True):
        it = Scheduler(POLICIES["affinity"](), limits(ahead), costs=costs)
        assert it.wait_bound_s is not None
        assert it.gap_bound_s is not None
        bounds.append((it.wait_bound_s, it.gap_bound_s))

    (wait, gap), ahead_bounds = bounds
    assert ahead_bounds == pytest.approx((wait + 0.06, gap + 0.06))


def test_a_deadline_is_met_though_a_step_is_in_the_air() -> None:
    """`a` fills the batch for ever and merging it pays; a step takes 0.1 s. Whenever in
    one the job comes, it runs in the third from there at the latest; if the step in the
    air is not reckoned with, sometimes in the fourth."""
    costs = Machine(step=0.1, sequence=0.0, adapter=0.01, prefill=0.0, cold=0.02)
    longest = {False: 0.0, True: 0.0}
    for ahead, phase in product(longest, range(5)):
        flood = [job(n, "a", tokens=300, arrival=0.0) for n in range(16)]
        at = 2.0 + 0.02 * phase
        urgent = job(99, "b", arrival=at, deadline=at + 0.34)
        it = Scheduler(POLICIES["affinity"](), limits(ahead), costs=costs)
        run = simulate(it, [*flood, urgent], costs, slots=2, ahead=True)
        longest[ahead] = max(longest[ahead], run.first_token_at[99] - at)

    assert longest[True] <= 0.34 < longest[False]


def limits(ahead: bool) -> SchedulerLimits:
    return SchedulerLimits(
        kv_tokens=10_000,
        max_batch=8,
        max_waiting=99,
        max_mixed_adapters=1,
        prefill_tokens=64,
        patience_s=9.0,
        switch_budget=0.0015,  # so that the flood has many steps in a round
        launches_ahead=ahead,
    )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("trace", TRACES)
def test_answers_are_as_long_as_without(
    policy: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job ends by itself somewhere: a row of it is wasted at most, and its length
    is learned as it was."""
    random = Random(7)
    ends = {each.id: random.randint(1, 20) for each in TRACES[trace]()}
    it = scheduler(policy, kv_tokens=200, costs=Machine(), checked=False)
    learned = []
    monkeypatch.setattr(
        it._flights._lengths, "learn", lambda _, tokens: learned.append(tokens)
    )

    run = simulate(it, TRACES[trace](), Machine(), slots=2, ends=ends, ahead=True)

    asked = {each.id: each.max_tokens for each in TRACES[trace]()}
    tokens = {n: len(at) for n, at in run.token_at.items()}
    assert tokens == {n: min(asked[n], ends[n]) for n in asked}
    assert sorted(learned) == sorted(tokens.values())
    assert 0 < run.wasted <= len(ends)
    assert it.free_kv_tokens == it.kv_tokens


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (1, 20, 1, 1)])
def test_without_host_time_nothing_is_gained_or_lost(
    policy: str, weights: tuple[int, ...]
) -> None:
    """Beside two steps in the air where one would be: at the beginning and the end."""
    took = {}
    for ahead in (False, True):
        trace = seeded(3, jobs=200, rate=100.0, weights=weights)
        it = scheduler(policy, kv_tokens=9999, costs=Machine(), checked=False)
        took[ahead] = simulate(it, trace, Machine(), slots=2, ahead=ahead).end

    assert took[True] == pytest.approx(took[False], rel=0.01)
