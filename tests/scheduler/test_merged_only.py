"""Many adapters that are served merged only: what their swaps take of the time."""

import pytest

from scheduler import BASE, Job, Outcome, Swap
from scheduler.simulate import Run, simulate
from tests.scheduler.traces import Machine, decided, job, scheduler

COSTS = {"step": 0.006, "sequence": 0.0, "prefill": 0.00004, "cold": 0.012}


def served(adapters: int, each: int, seats: int) -> Run:
    """So many jobs of each adapter, all there from the beginning."""
    trace: list[Job] = [
        job(n, f"a{n % adapters}", tokens=60, arrival=0.0, can_mix=False)
        for n in range(adapters * each)
    ]
    machine = Machine(**COSTS)
    it = scheduler(
        "affinity",
        kv_tokens=10**6,
        max_waiting=10**4,
        max_batch=seats,
        prefill_tokens=2048,
        costs=machine,
        checked=False,
    )
    return simulate(it, trace, machine, slots=1)


@pytest.mark.parametrize("seats", [16, 256])
def test_a_turn_is_worth_its_swap_however_many_seats_there_are(seats: int) -> None:
    """Four adapters that fill a few seats each. Of 256 seats swaps took half of the
    time when each turn was for the part of them that was filled; 0.08 was found."""
    run = served(4, 6, seats)

    assert run.swap_s <= 0.1 * (run.swap_s + run.busy_s)


def test_late_streams_of_many_share_their_swaps_among_steps() -> None:
    """More adapters with a stream each than can have a swap each in their patience:
    swaps took two thirds of the time when each was for one step."""
    run = served(120, 1, 256)

    assert run.swap_s <= 0.35 * (run.swap_s + run.busy_s)


def test_swaps_that_had_to_be_are_paid_back_for_a_while_only() -> None:
    it = scheduler("affinity", kv_tokens=10**4, costs=Machine(**COSTS))
    it.submit(job(1, "a", tokens=999, arrival=0.0, can_mix=False))
    for _ in range(100):
        step = decided(it)
        swap = Swap(warm=False, seconds=1.0)
        warm = frozenset({BASE})
        it.report(
            step, Outcome(seconds=0.01, swap=swap, finished=frozenset(), warm=warm), 0.0
        )

    step = decided(it)
    it.report(
        step,
        Outcome(seconds=20.0, swap=None, finished=frozenset(), warm=frozenset()),
        0.0,
    )

    assert it._accounts.swap_budget_s == pytest.approx(0.0, abs=1e-9)
