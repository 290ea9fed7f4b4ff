"""affinity: the rule of the design at both sides of its break-even, and its turns.

The rule, star of DESIGN section 6: merging a for N steps beats mixing everybody when

    min(n_a, B) / min(n, B)  >=  (T_m + T_sw / N) / T_u(n, G)
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from scheduler import BASE, POLICIES, Mode, Outcome
from scheduler.lengths import Lengths
from scheduler.policy import Aside, Plan, View, merged, mixed
from tests.scheduler.traces import (
    Machine,
    decided,
    flat,
    job,
    outcome,
    scheduler,
)

CLEAR_GAIN = 1.05


class Then:
    """Gives everybody a first token, takes one turn as told, then asks affinity."""

    def __init__(self, turn: Plan | None) -> None:
        self.turn = turn
        self.is_set_up = False
        self._affinity = POLICIES["affinity"]()

    def choose(self, view: View) -> Plan:
        if view.backlog.unanswered and not self.is_set_up:
            return Plan(mode=Mode.MIXED, why="first tokens", aside=Aside.FIRST_TOKENS)
        self.is_set_up = True
        turn, self.turn = self.turn, None
        return turn or self._affinity.choose(view)


def choose(
    counts: Mapping[str, int],
    machine: Machine,
    *,
    turn: Plan | None = None,
    tokens: int = 10,
    max_batch: int = 16,
    fresh: bool = False,
    **job_fields: Any,
) -> Plan:
    """What affinity answers with so many jobs of each generation, all running, or
    `fresh`: waiting still. `tokens` are left to each, or one less after a turn."""
    policy = Then(turn)
    policy.is_set_up = fresh
    it = scheduler(
        policy, kv_tokens=10**6, max_batch=max_batch, prefill_tokens=1000, costs=machine
    )
    left, asked = Counter(counts), tokens + (not fresh)
    for number in range(left.total()):
        # In turns, so that a mixed step of the oldest has them all.
        generation = sorted(+left)[number % len(+left)]
        left[generation] -= 1
        it.submit(job(number, generation, prompt=1, tokens=asked, **job_fields))
    while not policy.is_set_up or policy.turn is not None:
        step = decided(it)
        if policy.is_set_up and policy.turn is None and turn is None:
            return step.plan
        warm = frozenset({step.plan.generation or BASE})
        done = outcome(step)
        it.report(
            step,
            Outcome(seconds=0.0, swap=None, finished=done.finished, warm=warm),
            0.0,
        )
    return decided(it).plan


def goal(plan: Plan) -> str | None:
    """The generation that is merged, or soon will be; None: mixed."""
    return plan.generation or plan.build_ahead


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


@pytest.mark.parametrize("gain", [0.96, 1.04])
@pytest.mark.parametrize("swap_s", [0.0, 0.050])
@pytest.mark.parametrize(("n_a", "n_b"), [(12, 4), (9, 3), (7, 6), (30, 9), (18, 14)])
def test_it_follows_the_rule_at_both_sides_of_the_break_even(
    n_a: int, n_b: int, swap_s: float, gain: float
) -> None:
    t_m, batch = 0.010, 16
    # Until the answers end, and as many times as the seats have to be filled anew
    each = Lengths().expected_remaining("a", age=1.0, most=11.0)
    steps = each * max(n_a / batch, 1.0)
    share = min(n_a, batch) / min(n_a + n_b, batch)
    t_u = gain * (t_m + swap_s / steps) / share

    plan = choose({"a": n_a, "b": n_b}, flat(t_m, t_u, swap_s), tokens=10)

    assert goal(plan) == ("a" if gain > 1 else None)


def test_a_swap_is_spread_over_the_steps_that_the_turn_is_expected_to_last() -> None:
    machine = flat(0.010, 0.018, swap_s=0.1)

    assert goal(choose({"a": 12, "b": 4}, machine, tokens=2000)) == "a"
    assert goal(choose({"a": 12, "b": 4}, machine, tokens=40)) is None


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


def test_while_streams_run_a_slot_is_built_ahead_in_a_mixed_turn() -> None:
    dear = flat(0.010, 0.030, swap_s=0.100)
    counts = {"a": 9, "b": 1}

    running = choose(counts, dear, tokens=100)
    cheap = choose(counts, flat(0.010, 0.030, swap_s=0.005))

    assert (running.mode, running.build_ahead) == (Mode.MIXED, "a")
    assert (cheap.mode, cheap.generation) == (Mode.MERGED, "a"), "shorter than a step"


@pytest.mark.parametrize(("swap_s", "is_first"), [(0.100, False), (0.009, True)])
def test_first_tokens_wait_for_no_swap_that_a_mixed_step_is_faster_than(
    swap_s: float, is_first: bool
) -> None:
    """Of one adapter: 20 ms mixed, 10 ms merged after the swap."""
    plan = choose({"a": 9}, flat(0.010, 0.030, swap_s=swap_s), tokens=100, fresh=True)

    assert goal(plan) == "a"
    assert plan.mode is (Mode.MERGED if is_first else Mode.MIXED)


def test_a_slot_in_the_making_is_finished_before_another_is_begun() -> None:
    dear = flat(0.010, 0.030, swap_s=0.100)
    turn = mixed("going on", build_ahead="b")

    plan = choose({"a": 9, "b": 7}, dear, turn=turn)

    assert plan == turn
