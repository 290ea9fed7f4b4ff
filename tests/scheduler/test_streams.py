"""A stream that has begun goes on: beside a flood, and on traces made to break it."""

from bisect import bisect_right
from collections.abc import Callable

import pytest

from scheduler import Costs, Job, Outcome, Scheduler, Step
from scheduler.decision import Decision
from scheduler.simulate import Run, simulate
from tests.scheduler.adversaries import ADVERSARIES, MACHINES
from tests.scheduler.traces import TRACES, Machine, job, scheduler

BATCH, FLOOD, ANSWER = 8, 40, 16


def beside_a_flood(
    machine: Costs, names: str, each: int = 1, **rest: bool
) -> tuple[Run, list[Job], list[Job]]:
    """`FLOOD` clients of one adapter, and `each` of every one of `names`."""
    flood = [job(n, "flood", tokens=40, arrival=0.0) for n in range(200)]
    quiet = [
        job(1000 + n, names[n % len(names)], tokens=ANSWER, arrival=0.0, **rest)
        for n in range(12 * each * len(names))
    ]
    it = scheduler(
        "affinity", kv_tokens=10**5, max_batch=BATCH, costs=machine, checked=False
    )
    clients = {"flood": FLOOD} | dict.fromkeys(names, each)
    run = simulate(it, flood + quiet, machine, slots=3, clients=clients)
    end = sorted(run.finished_at[each.id] for each in flood)[-FLOOD]
    return run, flood, [each for each in quiet if run.finished_at[each.id] < end]


@pytest.mark.parametrize("names", ["a", pytest.param("abc", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rest", [{}, {"can_mix": False}, {"can_merge": False}])
@pytest.mark.parametrize("machine", ["mixing is dear", "swaps are dear"])
def test_a_quiet_adapters_stream_is_never_slower_than_those_of_a_flood(
    machine: str, rest: dict[str, bool], names: str
) -> None:
    """Overdue first tokens take turns with late streams: before each step of one that
    shares it with no other the flood may have a step."""
    run, flood, quiet = beside_a_flood(MACHINES[machine](), names, **rest)
    steps = 1 if rest.get("can_mix", True) else len(names)  # to serve each stream once

    assert quiet
    for each in quiet:
        begin, *_, end = times = run.token_at[each.id]
        most = max(
            bisect_right(run.token_at[other.id], end)
            - bisect_right(run.token_at[other.id], begin)
            for other in flood
        )
        assert most <= len(times) + 1 + steps  # over its whole life, not for each token


def test_a_flood_goes_on_beside_quiet_streams() -> None:
    """It takes no more than twice as long: a step of one for each of its own."""
    machine = Machine(adapter=0.02)
    alone, flood, _ = beside_a_flood(machine, "")
    run, beside, _ = beside_a_flood(machine, "a")

    def half_done(of: Run, jobs: list[Job]) -> float:
        return sorted(of.finished_at[each.id] for each in jobs)[len(jobs) // 2]

    assert half_done(run, beside) <= 2.2 * half_done(alone, flood)


class Watched(Scheduler):
    """How much each gap of a quiet adapter's stream fell short of its bound."""

    left: list[float]
    _since: dict[int, tuple[float, float]]  # the last token, the largest bound since

    def decide(self, now: float) -> Decision:
        bound = self.gap_bound_s
        assert bound is not None
        for each in self._quiet():
            if each.id in self._since:
                at, most = self._since[each.id]
                self._since[each.id] = at, max(most, bound)
        return super().decide(now)

    def report(self, step: Step, outcome: Outcome, now: float) -> None:
        before = {work.job.id: work.job.generated for work in step.work}
        super().report(step, outcome, now)
        for work in step.work:
            if work.job.generated > before[work.job.id]:
                self.had_token(work.job.id, now)

    def had_token(self, job_id: int, now: float) -> None:
        at, bound = self._since.pop(job_id, (now, 0.0))
        if bound:
            self.left.append(bound - (now - at))
        self._since[job_id] = now, 0.0

    def _quiet(self) -> list[Job]:
        """Live jobs of adapters within their part. The others' gaps do not count, nor
        those of streams whose KV was taken: these wait for others to end."""
        found = []
        for job_id in self._backlog.waiting:
            self._since.pop(job_id, None)
        groups = self._backlog.groups.values()
        weights = sum(group.weight for group in groups)
        for group in groups:
            if group.jobs <= max(BATCH * group.weight / weights, 1.0):
                found += group.holders
            else:
                for each in group.holders:
                    self._since.pop(each.id, None)
        return found


def flooded(names: str, **rest: bool) -> list[Job]:
    trace = [job(n, "f", tokens=20, arrival=n * 0.01) for n in range(160)]
    trace += [
        job(500 + n, names[n % len(names)], tokens=30, arrival=0.1 * n, **rest)
        for n in range(20)
    ]
    return sorted(trace, key=lambda each: each.arrival)


MADE: dict[str, Callable[[], list[Job]]] = {
    **ADVERSARIES,
    "priorities": TRACES["priorities"],
    "modes, overload": TRACES["modes, overload"],
    "a flood": lambda: flooded("abc"),
    "a flood, merged only": lambda: flooded("abc", can_mix=False),
    "a flood, mixed only": lambda: flooded("abc", can_merge=False),
    "a flood, everybody alone": lambda: flooded("abcdeghijklmnopqrstu"),
}


@pytest.mark.parametrize(
    ("max_mixed_adapters", "kv_tokens"),
    [pytest.param(8, 10**5, marks=pytest.mark.slow), (2, 10**5), (8, 700)],
)
@pytest.mark.parametrize(
    "machine",
    ["mixing is dear", pytest.param("swaps are dear", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("adversary", MADE)
def test_no_gap_within_a_quiet_adapters_stream_is_longer_than_its_bound(
    adversary: str, machine: str, max_mixed_adapters: int, kv_tokens: int
) -> None:
    trace, costs = MADE[adversary](), MACHINES[machine]()
    made = scheduler(
        "affinity", patience_s=0.5, costs=costs, checked=False,
        kv_tokens=kv_tokens, max_batch=BATCH, prefill_tokens=64,
        max_mixed_adapters=max_mixed_adapters,
    )  # fmt: skip
    made.__class__ = Watched
    assert isinstance(made, Watched)
    made.left, made._since = [], {}

    simulate(made, trace, costs, slots=2)

    assert min(left for left in made.left) >= 0.0


def test_weights_of_whatever_size_leave_each_adapter_its_part() -> None:
    """In floats the heavy one's weight would take the light one's along."""
    it = scheduler("affinity", kv_tokens=1000, max_batch=4)
    outcome = Outcome(seconds=0.01, swap=None, finished=frozenset(), warm=frozenset())

    def run(steps: int) -> None:
        for _ in range(steps):
            step = it.decide(0.0)
            assert isinstance(step, Step)
            it.report(step, outcome, 0.0)

    it.submit(job(1, "light", tokens=9, weight=1e-12))
    run(2)
    it.submit(job(2, "heavy", tokens=9, weight=1e6))
    run(2)
    it.cancel(2)
    run(1)

    assert it.live == 1
