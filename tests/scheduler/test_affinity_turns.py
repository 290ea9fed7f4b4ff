"""affinity: its turns, played: slots built ahead in them, and steps aside from them."""

import pytest

from scheduler import BASE, POLICIES, Outcome, Swap
from scheduler.policy import Plan, View, merged
from scheduler.simulate import simulate
from tests.scheduler.traces import Machine, decided, flat, job, outcome, scheduler


def test_a_mixture_that_becomes_one_sided_is_merged_without_losing_a_job() -> None:
    machine = flat(0.010, 0.030, swap_s=0.100)
    trace = [job(n, "ab"[n % 4 == 0], tokens=60, arrival=0.02 * n) for n in range(40)]
    it = scheduler("affinity", patience_s=50.0, max_batch=16, prefill_tokens=256)

    run = simulate(it, trace, machine, slots=1)

    assert run.built > 0, "a slot was built between the steps"
    assert len(run.finished_at) == 40


class MergesUntilOverdue:
    """Keeps `a` merged, whoever comes, until somebody's patience is over."""

    def __init__(self) -> None:
        self._affinity = POLICIES["affinity"]()

    def choose(self, view: View) -> Plan:
        return merged("a", "") if view.overdue is None else self._affinity.choose(view)


@pytest.mark.parametrize("warm", ["ab", "a"])
@pytest.mark.parametrize("jobs", [1, 8])
def test_first_tokens_come_merged_if_that_computes_more_and_the_slot_is_built(
    jobs: int, warm: str
) -> None:
    """Eight prompts fill a step; beside one prompt a mixed step has the rows of `a`."""
    machine = Machine(adapter=0.004, prefill=0.001)
    it = scheduler(
        MergesUntilOverdue(),
        max_batch=8,
        prefill_tokens=64,
        patience_s=0.5,
        costs=machine,
    )
    for number in range(8):
        it.submit(job(number, "a", prompt=1, tokens=50, arrival=0.0))
    for number in range(jobs):
        it.submit(job(10 + number, "b", prompt=16, tokens=50, arrival=0.1))
    step = decided(it, 0.2)
    finished = outcome(step).finished
    done = Outcome(seconds=0.0, swap=None, finished=finished, warm=frozenset(warm))
    it.report(step, done, 0.2)

    plan = decided(it, 2.0).plan

    is_merged = jobs == 8 and "b" in warm
    assert plan.aside
    assert plan.generation == ("b" if is_merged else None)


def test_without_a_slot_to_build_ahead_a_merged_only_stream_gets_its_turns() -> None:
    """One slot, and golden has left: whatever is resident takes it."""
    machine = Machine(cold=0.5)
    it = scheduler(
        kv_tokens=10**6,
        costs=machine,
        patience_s=0.25,
        builds_ahead=False,
        policy="affinity",
    )
    for n in range(2):
        it.submit(job(n, BASE, tokens=100_000, arrival=0.0))
    alone = job(9, "a", tokens=6, arrival=0.0, can_mix=False)
    it.submit(alone)
    now, resident = 0.0, BASE

    while it.live + it.waiting == 3:
        step = decided(it, now)
        swap, wanted = None, step.plan.generation or BASE
        if wanted != resident:
            resident, swap = wanted, Swap(warm=False, seconds=0.5)
        seconds = machine.step_s(step.shape)
        now += seconds + (swap.seconds if swap else 0.0)
        assert now < 30.0, "it waits for a slot that is never built"
        ended = frozenset({9}) if alone.generated == 5 else frozenset[int]()
        done = Outcome(
            seconds=seconds, swap=swap, finished=ended, warm=frozenset({resident})
        )
        it.report(step, done, now)
