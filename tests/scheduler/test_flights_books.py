"""A step in the air: what it costs, who is charged, who is late, what is resident."""

import pytest

from scheduler import BASE, Mode, StepShape, Swap
from scheduler.policy import merged
from tests.scheduler.in_the_air import Told, landed, launched
from tests.scheduler.traces import Machine, decided, job, outcome, scheduler


def test_a_new_slot_is_resident_from_the_launch_on() -> None:
    """And the slot it took may be anybody's, until the landing tells."""
    policy = Told()
    it = scheduler(policy)
    it.submit(job(1, "a", tokens=9))
    it.submit(job(2, "b", tokens=9))
    landed(it, launched(it), warm=frozenset({"b"}))
    policy.plan = merged("a", "told to")
    step = launched(it)

    it.decide(0.0)
    assert policy.view.resident == "a"
    assert policy.view.warm == {BASE, "a"}

    landed(it, step, warm=frozenset({"a", "b"}))
    it.decide(0.0)
    assert policy.view.resident == "a"
    assert policy.view.warm == {BASE, "a", "b"}


def test_a_landing_does_not_undo_the_swap_of_a_step_launched_since() -> None:
    policy = Told()
    it = scheduler(policy)
    it.submit(job(1, "a", tokens=9))
    first = launched(it)
    policy.plan = merged("a", "told to")
    launched(it)

    landed(it, first, warm=frozenset({"a"}))

    it.decide(0.0)
    assert policy.view.resident == "a"


def test_the_swap_budget_has_the_swap_in_the_air_and_then_what_it_took() -> None:
    """At first it is a second."""
    policy = Told()
    it = scheduler(policy, costs=Machine(cold=0.3, step=0.01))
    it.submit(job(1, "a", tokens=9))
    policy.plan = merged("a", "told to")
    step = launched(it)

    it.decide(0.0)
    assert policy.view.swap_budget_s == pytest.approx(1.0 - 0.3)

    landed(it, step, swap=Swap(warm=False, seconds=0.4), warm=frozenset({"a"}))
    it.decide(0.0)
    assert policy.view.swap_budget_s == pytest.approx(1.0 - 0.4)


class Learning(Machine):
    def learn_step(self, shape: StepShape, seconds: float) -> None:
        self.step = shape, seconds

    def learn_swap(self, *, warm: bool, seconds: float, rank: int = 0) -> None:
        self.swap = warm, seconds, rank


def test_costs_are_learned_of_the_shape_and_the_rank_as_they_were() -> None:
    """Though its group has left at the launch."""
    policy, costs = Told(), Learning()
    it = scheduler(policy, costs=costs)
    it.submit(job(1, "a", prompt=7, tokens=1, rank=16))
    policy.plan = merged("a", "told to")
    step = launched(it)

    landed(it, step, 1, seconds=0.5, swap=Swap(warm=False, seconds=0.2))

    assert costs.step == (StepShape(Mode.MERGED, 1, 1, 16, 7, 0), 0.5)
    assert costs.swap == (False, 0.2, 16)


def test_time_is_charged_to_whoever_was_in_credit_at_the_launch() -> None:
    """`a` has a quantum of 0.12 s, and two steps of 0.2 s in the air at once: what it
    had too much is a debt of more than a round."""
    policy = Told()
    it = scheduler(policy, costs=Machine(cold=0.05))
    it.submit(job(1, "a", tokens=99))
    it.submit(job(2, "b", tokens=99))
    policy.plan = merged("a", "told to")
    for step in [launched(it), launched(it)]:
        landed(it, step, seconds=0.2)
    policy.plan = merged("b", "told to")

    landed(it, launched(it), seconds=0.2)
    it.decide(0.0)

    assert policy.in_credit == {"b"}


def test_time_is_not_charged_to_a_later_group_of_the_same_name() -> None:
    it = scheduler(Told(), costs=Machine(cold=0.05))
    it.submit(job(1, "a", tokens=1))
    step = launched(it)
    it.submit(job(2, "a", tokens=9))

    landed(it, step, 1, seconds=9.0)

    assert it._accounts._deficits._left == {"a": 0.0}


def test_streams_are_not_late_for_a_token_that_is_in_the_air() -> None:
    policy = Told()
    it = scheduler(policy, patience_s=1.0)
    it.submit(job(1, "a", tokens=9))
    it.submit(job(2, "b", tokens=9))
    landed(it, launched(it), now=0.0)
    policy.plan = merged("a", "told to")
    step = launched(it, 0.0)

    it.decide(5.0)
    assert "a" not in policy.view.streams.late

    landed(it, step, now=5.0)
    it.decide(7.0)
    assert policy.view.streams.late == ("b", "a")


def test_a_step_that_failed_is_never_reported_and_holds_nobody_up() -> None:
    policy = Told()
    it = scheduler(policy, patience_s=1.0)
    it.submit(job(1, "a", tokens=9))
    it.submit(job(2, "b", tokens=9))
    it.submit(job(3, "a", prompt=90, tokens=9))
    launched(it)
    it.fail(1)
    it.check()

    landed(it, launched(it), now=1.0)
    it.decide(9.0)

    assert policy.view.streams.late == ("b",)
    assert len(it._flights._air) == 0
    for _ in range(9):
        it.report(step := decided(it), outcome(step), 9.0)
        it.check()
