"""affinity: the rule of the design at both sides of its break-even, and bounded waits.

The rule, star of DESIGN section 6: merging a for N steps beats mixing everybody when

    min(n_a, B) / min(n, B)  >=  (T_m + T_sw / N) / T_u(n, G)
"""

from collections.abc import Mapping

import pytest

from scheduler import BASE, POLICIES, Job, Mode
from scheduler.backlog import Backlog
from scheduler.job import Event
from scheduler.policy import Plan, View, merged, mixed
from scheduler.simulate import Run, simulate
from tests.scheduler.traces import Machine, advance, ids, job, scheduler

MAX_WAIT_S = 1.0
CLEAR_GAIN = 1.05


def choose(
    counts: Mapping[str, int],
    machine: Machine,
    *,
    turn: Plan | None = None,
    now: float = 0.0,
    tokens: int = 10,
    max_batch: int = 16,
    running: bool = False,
) -> Plan:
    """What affinity answers with so many fresh jobs of each generation waiting, or
    running already."""
    backlog = Backlog()
    for generation, count in counts.items():
        for _ in range(count):
            each = job(len(backlog), generation, tokens=tokens, arrival=0.0)
            backlog.push(each)
            if running:
                each.move(Event.ADMIT)
                backlog.admit(each)
                backlog.renew(generation)
    view = View(
        now=now,
        loads=backlog.loads,
        turn=turn,
        warm=frozenset({BASE}),
        free_kv_tokens=10_000,
        max_batch=max_batch,
        max_wait_s=MAX_WAIT_S,
        costs=machine,
    )
    return POLICIES["affinity"]().choose(view)


def flat(merged_s: float, mixed_s: float, swap_s: float = 0.0) -> Machine:
    """Steps that cost the same whatever their size; `mixed_s` is for two adapters."""
    return Machine(
        step=merged_s,
        sequence=0.0,
        adapter=(mixed_s - merged_s) / 2,
        warm=swap_s,
        cold=swap_s,
    )


def test_it_merges_an_adapter_that_dominates_when_mixing_is_dear() -> None:
    plan = choose({"a": 9, "b": 1}, flat(0.010, 0.030))

    assert (plan.mode, plan.generation) == (Mode.MERGED, "a")


def test_it_mixes_when_no_adapter_dominates() -> None:
    plan = choose({"a": 2, "b": 2, "c": 2, "d": 2}, flat(0.010, 0.014))

    assert plan.mode is Mode.MIXED


def test_it_mixes_when_mixing_costs_nothing() -> None:
    assert choose({"a": 9, "b": 1}, flat(0.010, 0.010)).mode is Mode.MIXED


def test_it_merges_the_only_generation_there_is_if_the_swap_pays() -> None:
    cheap, dear = flat(0.010, 0.014, swap_s=0.001), flat(0.010, 0.014, swap_s=1.0)

    assert choose({"a": 4}, cheap).mode is Mode.MERGED
    assert choose({"a": 4}, dear).mode is Mode.MIXED


@pytest.mark.parametrize("gain", [0.98, 1.02])
@pytest.mark.parametrize("swap_s", [0.0, 0.050])
@pytest.mark.parametrize(("n_a", "n_b"), [(12, 4), (9, 3), (7, 6), (30, 2), (20, 20)])
def test_it_follows_the_rule_at_both_sides_of_the_break_even(
    n_a: int, n_b: int, swap_s: float, gain: float
) -> None:
    t_m, steps, batch = 0.010, 10, 16
    share = min(n_a, batch) / min(n_a + n_b, batch)
    t_u = gain * (t_m + swap_s / steps) / share

    plan = choose({"a": n_a, "b": n_b}, flat(t_m, t_u, swap_s), tokens=steps)

    assert plan.mode is (Mode.MERGED if gain > 1 else Mode.MIXED)


def test_a_swap_is_spread_over_no_more_steps_than_others_can_wait() -> None:
    """Turns end after half of `max_wait_s`: 50 steps, however many tokens are left."""
    pays, does_not = (flat(0.010, 0.018, swap_s) for swap_s in (0.170, 0.180))

    assert choose({"a": 12, "b": 4}, pays, tokens=5000).mode is Mode.MERGED
    assert choose({"a": 12, "b": 4}, does_not, tokens=5000).mode is Mode.MIXED


def test_base_is_no_adapter_beside_the_weights() -> None:
    """A mixed step of base and `a` has one adapter: 14 ms, not 18 ms."""
    machine = Machine(step=0.010, sequence=0.0, adapter=0.004, warm=0.0, cold=0.0)

    assert choose({"a": 10, BASE: 6}, machine).mode is Mode.MIXED
    assert choose({"a": 10, "b": 6}, machine).mode is Mode.MERGED


@pytest.mark.parametrize("gain", [1 / 1.07, 1 / 1.03, 1.03, 1.07])
def test_a_turn_changes_for_a_clear_gain_only(gain: float) -> None:
    """`gain` is how much better merging is; a twentieth is a clear gain."""
    t_u = gain * 0.010 * 16 / 12
    machine = flat(0.010, t_u)

    from_mixed = choose({"a": 12, "b": 4}, machine, turn=mixed("test"))
    from_merged = choose({"a": 12, "b": 4}, machine, turn=merged("a", "test"))

    assert from_mixed.mode is (Mode.MERGED if gain > CLEAR_GAIN else Mode.MIXED)
    assert from_merged.mode is (Mode.MIXED if gain < 1 / CLEAR_GAIN else Mode.MERGED)


def test_the_resident_is_kept_against_a_slightly_longer_queue() -> None:
    machine = flat(0.010, 0.080)

    assert choose({"a": 10, "b": 10}, machine, turn=merged("b", "")).generation == "b"
    assert choose({"a": 10, "b": 5}, machine, turn=merged("b", "")).generation == "a"


@pytest.mark.parametrize("mixed_s", [0.0101, 0.014, 0.1])
@pytest.mark.parametrize("older", [2, 4, 8])
def test_a_job_that_went_unserved_for_half_the_limit_is_served_at_once(
    mixed_s: float, older: int
) -> None:
    """`a` has so many long jobs, as many as fit into a batch or fewer."""
    it = scheduler(
        "affinity",
        kv_tokens=10_000,
        max_batch=4,
        max_wait_s=1.0,
        costs=flat(0.01, mixed_s),
    )
    for n in range(older):
        it.submit(job(n, "a", prompt=1, tokens=500, arrival=0.0))
    advance(it)
    it.submit(job(99, "b", prompt=1, tokens=500, arrival=0.0))

    served_at = [
        step / 100 for step in range(1, 90) if 99 in ids(advance(it, step / 100))
    ]

    assert served_at
    assert served_at[0] <= 0.52


def adversary(pattern: str, *, every_s: float, jobs: int = 120) -> list[Job]:
    return [
        job(n, pattern[n % len(pattern)], prompt=8, tokens=12, arrival=n * every_s)
        for n in range(jobs)
    ]


def longest_wait(trace: list[Job], run: Run) -> float:
    return max(run.first_token_at[each.id] - each.arrival for each in trace)


@pytest.mark.parametrize("pattern", ["ABAA", "AB", "AAAAAAAAAAAAAAAAAAAB", "ABCDEFGH"])
@pytest.mark.parametrize("mixed_s", [0.0101, 0.014, 0.030, 0.200])
@pytest.mark.parametrize("swap_s", [0.001, 0.050])
def test_no_job_waits_longer_than_its_bound_for_its_first_token(
    pattern: str, mixed_s: float, swap_s: float
) -> None:
    """Half of `max_wait_s`, the step that runs, then a turn of each generation."""
    trace = adversary(pattern, every_s=0.050)
    machine, generations = flat(0.010, mixed_s, swap_s), len(set(pattern))
    it = scheduler("affinity", max_wait_s=MAX_WAIT_S, max_batch=16, prefill_tokens=256)

    run = simulate(it, trace, machine)

    turn_s = machine.step_s(Mode.MERGED, 16, 1, 256) + swap_s
    running_s = machine.step_s(Mode.MIXED, 16, generations, 256)
    limit_s = MAX_WAIT_S / 2 + running_s + generations * turn_s
    assert longest_wait(trace, run) <= limit_s


def test_while_streams_run_a_long_swap_is_prepared_beside_a_mixed_turn() -> None:
    dear = flat(0.010, 0.030, swap_s=0.100)
    counts = {"a": 9, "b": 1}

    running = choose(counts, dear, running=True)
    fresh = choose(counts, dear, running=False)
    cheap = choose(counts, flat(0.010, 0.030, swap_s=0.005), running=True)

    assert (running.mode, running.prepare) == (Mode.MIXED, "a")
    assert (fresh.mode, fresh.generation) == (Mode.MERGED, "a"), "nobody would stall"
    assert (cheap.mode, cheap.generation) == (Mode.MERGED, "a"), "shorter than a step"


def test_a_slot_in_the_making_is_finished_before_another_is_begun() -> None:
    dear = flat(0.010, 0.030, swap_s=0.100)
    turn = mixed("going on", prepare="b")

    plan = choose({"a": 9, "b": 7}, dear, turn=turn, running=True)

    assert plan == turn


def test_a_mixture_that_becomes_one_sided_is_merged_without_losing_a_job() -> None:
    machine = flat(0.010, 0.030, swap_s=0.100)
    trace = [job(n, "ab"[n % 4 == 0], tokens=60, arrival=0.02 * n) for n in range(40)]
    it = scheduler("affinity", max_wait_s=100.0, max_batch=16, prefill_tokens=256)

    run = simulate(it, trace, machine, slots=1)

    assert run.built > 0, "a slot was built beside the steps"
    assert len(run.finished_at) == 40
