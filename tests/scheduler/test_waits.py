"""The bound on the wait for the first token, on traces made to break it."""

from typing import Any

import pytest

from scheduler import Costs, Job
from scheduler.simulate import Run, simulate
from tests.scheduler.adversaries import ADVERSARIES, MACHINES, pattern
from tests.scheduler.traces import Machine, advance, decided, ids, job, scheduler

PATIENCE_S = 0.5


def waits_and_bounds(trace: list[Job], machine: Costs, **limits: Any) -> list[float]:
    """For each job, what was left of its bound when its first token came, seconds."""
    it = scheduler("affinity", patience_s=PATIENCE_S, costs=machine, **limits)
    promised: dict[int, float] = {}
    submit = it.submit

    def watched(job: Job) -> None:
        submit(job)
        assert it.wait_bound_s is not None
        # It counts itself already, with its prompt; beside it, a newcomer's.
        promised[job.id] = it.wait_bound_s + it.drain_bound_s

    it.submit = watched  # type: ignore[method-assign]
    run = simulate(it, trace, machine, slots=2)
    return [
        promised[each.id] - (run.first_token_at[each.id] - run.arrived_at[each.id])
        for each in trace
    ]


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param(name, marks=[pytest.mark.slow] if n else [])
        for n, name in enumerate(MACHINES)
    ],
)
@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_no_job_waits_longer_than_the_bound_told_when_it_was_accepted(
    adversary: str, machine: str
) -> None:
    trace = ADVERSARIES[adversary]()

    left = waits_and_bounds(
        trace, MACHINES[machine](), kv_tokens=100_000, max_batch=8, prefill_tokens=64
    )

    assert min(left) >= 0.0


@pytest.mark.parametrize("adversary", ["bursts", "merged only", "two, and too many"])
def test_the_bound_holds_with_its_drain_where_kv_is_short(adversary: str) -> None:
    left = waits_and_bounds(
        ADVERSARIES[adversary](),
        Machine(),
        kv_tokens=400,
        max_batch=8,
        prefill_tokens=64,
    )

    assert min(left) >= 0.0


def test_the_bound_is_the_formula_of_its_docstring() -> None:
    """Patience, two steps, and four for each step's prompt ahead: one may be for a
    quiet adapter, and after each of the two one for late streams. The larger of them
    after a swap, aside after a warm one."""
    machine = Machine(
        step=0.010, sequence=0.0, adapter=0.001, prefill=0.0, cold=0.05, warm=0.001
    )
    it = scheduler(
        "affinity", max_batch=4, prefill_tokens=16, patience_s=1.0, costs=machine
    )
    aside = 0.010 + 4 * 0.001 + 0.001
    step = 0.010 + 4 * 0.001 + 0.05

    assert it.wait_bound_s == pytest.approx(1.0 + 2 * step + 2 * (step + aside))
    assert it.gap_bound_s == pytest.approx(1.0 + 2 * step + (step + aside))

    it.submit(job(0, prompt=40))  # two whole steps, and one for what is left
    assert it.wait_bound_s == pytest.approx(1.0 + 2 * step + 8 * (step + aside))

    it.submit(job(1, "m", prompt=1, can_mix=False))  # its steps aside may need a merge
    assert it.wait_bound_s == pytest.approx(1.0 + 2 * step + 20 * step)


def test_the_bound_takes_jobs_to_be_as_large_as_the_largest_so_far() -> None:
    """And not all KV for the context of one step."""
    machine = Machine(adapter=0.0, prefill=0.0, sequence=0.0, context=0.001)
    it = scheduler("affinity", kv_tokens=10**6, max_batch=4, costs=machine)
    idle = it.wait_bound_s
    assert idle is not None
    assert idle < 1.5

    it.submit(job(0, prompt=1, tokens=99))
    it.cancel(0)

    assert it.wait_bound_s == pytest.approx(idle + 6 * 4 * 100 * 0.001)


def test_policies_without_a_bound_promise_none() -> None:
    assert scheduler("fcfs-mixed").wait_bound_s is None
    assert scheduler("fcfs-mixed").gap_bound_s is None
    assert scheduler("longest-queue").wait_bound_s is None


def test_a_job_whose_patience_is_over_has_the_next_step() -> None:
    """`a` fills the batch for ever and merging it pays."""
    it = scheduler("affinity", kv_tokens=10_000, max_batch=4, patience_s=0.5)
    for n in range(8):
        it.submit(job(n, "a", prompt=1, tokens=500, arrival=0.0))
    for _ in range(4):
        advance(it)
    it.submit(job(99, "b", prompt=1, tokens=500, arrival=0.0))

    served_at = [n / 100 for n in range(1, 90) if 99 in ids(advance(it, n / 100))]

    assert served_at
    assert served_at[0] <= 0.52


def test_a_deadline_is_met_that_patience_would_miss() -> None:
    waits = {}
    for deadline in (None, 0.3):
        it = scheduler(
            "affinity", kv_tokens=10_000, max_batch=4, patience_s=2.0, costs=Machine()
        )
        for n in range(8):
            it.submit(job(n, "a", prompt=1, tokens=500, arrival=0.0))
        for _ in range(4):
            advance(it)
        it.submit(job(99, "b", prompt=1, arrival=0.0, deadline=deadline))
        steps = (n for n in range(1, 400) if 99 in ids(advance(it, n / 100)))
        waits[deadline] = next(steps) / 100

    assert waits[0.3] <= 0.3 < waits[None]


def test_an_urgent_job_is_seated_before_older_ones() -> None:
    it = scheduler("affinity", max_batch=2, costs=Machine())
    for n in range(4):
        it.submit(job(n, "a", tokens=50))
    it.submit(job(9, "a", tokens=50, priority=-1))

    assert 9 in ids(decided(it))


def test_the_last_decisions_tell_why() -> None:
    it = scheduler("affinity", costs=Machine())
    for n in range(4):
        it.submit(job(n, "ab"[n % 2], tokens=20))
    for n in range(40):
        if it.waiting + it.live:
            advance(it, n / 100)

    assert 0 < len(it.recent) <= 32
    assert all(each.why and each.jobs > 0 for each in it.recent)
    assert any("tokens/s" in each.why for each in it.recent)


def longest_wait(trace: list[Job], run: Run) -> float:
    return max(run.first_token_at[j.id] - run.arrived_at[j.id] for j in trace)


def test_without_a_bound_a_cold_adapter_waits_for_as_long_as_a_hot_one_is_busy() -> (
    None
):
    """What the bound is worth: the same trace, the same machine."""
    waits = {}
    for policy in ("affinity", "longest-queue"):
        trace = pattern("AAAAAAAAAAAAAAAAAAAB", every_s=0.004, jobs=400)
        it = scheduler(policy, kv_tokens=10**5, patience_s=PATIENCE_S, costs=Machine())
        waits[policy] = longest_wait(trace, simulate(it, trace, Machine(), slots=2))

    assert waits["affinity"] < waits["longest-queue"] / 2


@pytest.mark.parametrize(
    "quiet", ["a", pytest.param("abcdefghijkl", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("rest", [{}, {"can_mix": False}, {"can_merge": False}])
def test_nobody_stands_behind_all_the_first_tokens_of_a_flood(
    rest: dict[str, bool], quiet: str
) -> None:
    """One small body asks for 960 answers of one adapter; others ask for their own."""
    costs = Machine(step=0.010, prefill=0.0004)
    flood = [job(n, "flood", prompt=8, tokens=20, arrival=0.0) for n in range(960)]
    others = [
        job(1000 + n, quiet[n % len(quiet)], prompt=8, tokens=8, arrival=0.0, **rest)
        for n in range(10 * len(quiet))
    ]
    it = scheduler(
        "affinity", kv_tokens=10**5, patience_s=PATIENCE_S, costs=costs, checked=False
    )
    clients = {"flood": len(flood)} | dict.fromkeys(quiet, 1)
    run = simulate(it, flood + others, costs, slots=3, clients=clients)

    waits = [
        run.first_token_at[each.id] - run.arrived_at[each.id]
        for each in others
        if run.arrived_at[each.id] < run.first_token_at[flood[-1].id]
    ]
    assert waits
    # Patience, and a few steps for each of them: not one for each of the flood
    assert max(waits) < PATIENCE_S + 0.2 * (1 + len(quiet))
