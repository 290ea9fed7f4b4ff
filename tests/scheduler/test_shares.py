"""Shares: of the engine's time among adapters, and of swaps in it."""

from collections import Counter, defaultdict

import pytest

from scheduler import Job, Mode
from scheduler.simulate import Run, simulate
from tests.scheduler.traces import Machine, job, scheduler

MACHINES = {
    "merging pays": lambda: Machine(step=0.010, adapter=0.010, cold=0.010),
    "mixing pays": lambda: Machine(step=0.010, adapter=0.0001, cold=0.050),
}


def backlogged(names: str, jobs: int, weights: dict[str, float]) -> list[Job]:
    """All at once, as often as an adapter stands in `names`."""
    return [
        job(
            n,
            names[n % len(names)],
            prompt=1,
            tokens=40,
            arrival=0.0,
            weight=weights.get(names[n % len(names)], 1.0),
        )
        for n in range(jobs)
    ]


def time_of(trace: list[Job], machine: Machine, share: float) -> dict[str, float]:
    """Seconds attended by adapter, until so much of the whole time has passed."""
    it = scheduler(
        "affinity",
        kv_tokens=10**6,
        max_waiting=10**4,
        max_batch=8,
        costs=machine,
        checked=False,
    )
    run = simulate(it, trace, machine, slots=2)
    seconds: defaultdict[str, float] = defaultdict(float)
    for step in run.steps[: int(share * len(run.steps))]:
        for generation in set(step.rows):
            rows = sum(work.job.generation == generation for work in step.work)
            seconds[generation] += rows / 8
    return dict(seconds)


def jain(shares: list[float]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


@pytest.mark.parametrize("machine", MACHINES)
def test_adapters_with_too_much_to_do_have_equal_time_whoever_has_more(
    machine: str,
) -> None:
    """Of five `a` has half of the jobs. Jain's index: 1 is equal, 0.2 is one's all."""
    trace = backlogged("aaaabcde", 800, {})

    shares = time_of(trace, MACHINES[machine](), share=0.5)

    assert jain(list(shares.values())) >= 0.95


@pytest.mark.parametrize("jobs", [5, 6, 8])
def test_an_adapter_that_fills_few_seats_has_a_share_of_time_by_its_seats(
    jobs: int,
) -> None:
    """`a` has two batches of 8 all along, `b` so many jobs: with less than half of the
    seats it would be quiet, and as fast as `a`."""
    names = "a" * 16 + "b" * jobs
    trace = [
        job(n, names[n], prompt=1, tokens=400, arrival=0.0) for n in range(len(names))
    ]
    machine = Machine(step=0.010, adapter=0.010, cold=0.010)
    it = scheduler(
        "affinity", kv_tokens=10**6, max_batch=8, costs=machine, checked=False
    )

    run = simulate(it, trace, machine, slots=2)

    attended: defaultdict[str, float] = defaultdict(float)
    for step in run.steps[50:450]:
        rows = Counter(work.job.generation for work in step.work)
        seconds = machine.step_s(step.shape)
        attended["a"] += seconds * rows["a"] / 8
        attended["b"] += seconds * rows["b"] / jobs
    assert attended["b"] / attended["a"] == pytest.approx(jobs / 8, rel=0.25)


def test_a_weight_is_a_share_of_time() -> None:
    trace = backlogged("ab", 600, {"a": 3.0})

    shares = time_of(trace, MACHINES["merging pays"](), share=0.5)

    assert shares["a"] / shares["b"] == pytest.approx(3.0, rel=0.2)


def swap_share(run: Run) -> float:
    return run.swap_s / (run.swap_s + run.busy_s)


@pytest.mark.parametrize("budget", [0.01, 0.05])
@pytest.mark.parametrize("cold", [0.02, 0.2])
def test_swaps_keep_to_their_budget(budget: float, cold: float) -> None:
    """Short turns of many adapters: merging pays, if it were not for the swaps."""
    machine = Machine(step=0.010, adapter=0.010, cold=cold, warm=0.0001)
    trace = [
        job(n, "abcdefgh"[n // 8 % 8], tokens=30, arrival=n * 0.01) for n in range(800)
    ]
    it = scheduler(
        "affinity",
        kv_tokens=10**6,
        max_batch=8,
        costs=machine,
        switch_budget=budget,
        checked=False,
    )

    run = simulate(it, trace, machine)

    assert run.tokens[Mode.MERGED] > 0
    # What may be spent at once, at the beginning, is 20 s worth of it.
    assert run.swap_s <= budget * (run.busy_s + run.swap_s + 20.0) + cold


def test_an_adapter_that_must_be_merged_goes_on_though_the_budget_is_spent() -> None:
    machine = Machine(step=0.010, cold=5.0)
    trace = [
        job(n, "ab"[n % 2], tokens=30, arrival=0.0, can_mix=False) for n in range(8)
    ]
    it = scheduler("affinity", costs=machine, max_batch=8)

    run = simulate(it, trace, machine)

    assert len(run.finished_at) == 8


def test_a_merged_only_adapter_is_not_starved_by_those_that_mix() -> None:
    """`m` has one long answer; `a` and `b` always have jobs, and mixing pays.

    It fills an eighth of the seats that each of them fills.
    """
    machine = Machine(adapter=0.0001, cold=0.02)
    it = scheduler(
        "affinity", kv_tokens=10**6, max_batch=8, costs=machine, checked=False
    )
    trace = [job(0, "m", tokens=50, arrival=0.0, can_mix=False)]
    trace += [job(n, "ab"[n % 2], tokens=200, arrival=0.0) for n in range(1, 80)]

    run = simulate(it, trace, machine, slots=3)

    assert run.finished_at[0] < run.end / 2


def test_the_simulator_keeps_a_closed_loop_of_clients_and_ends_jobs_early() -> None:
    trace = [job(n, "ab"[n % 2], tokens=100, arrival=0.0) for n in range(30)]
    ends = {n: 5 + n % 7 for n in range(30)}
    machine = Machine()

    run = simulate(
        scheduler("affinity", kv_tokens=10**5, costs=machine),
        trace,
        machine,
        clients=4,
        ends=ends,
    )

    assert max(len(step.work) for step in run.steps) == 4
    assert {each.id: each.generated for each in trace} == ends
    assert sum(run.tokens.values()) == sum(len(step.work) for step in run.steps)
