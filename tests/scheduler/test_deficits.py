"""Deficits: rounds, weights, debts, and nothing saved up."""

import pytest

from scheduler.deficits import Deficits


class Rounds(Deficits):
    """With the quantum of each name."""

    def __init__(self, **quanta: float) -> None:
        super().__init__()
        self.quanta = quanta
        for name in quanta:
            self.join(name)
        self.go_on()

    def go_on(self) -> None:
        self.refill(self.quanta.__getitem__)


def test_everybody_has_its_quantum_once_in_a_round() -> None:
    it = Rounds(a=1.0, b=1.0)

    it.charge("a", 1.0)
    it.go_on()
    assert set(it.in_credit) == {"b"}, "the round is not over"

    it.charge("b", 1.0)
    it.go_on()
    assert set(it.in_credit) == {"a", "b"}


def test_a_quantum_is_a_share() -> None:
    it = Rounds(a=1.0, b=3.0)

    it.charge("a", 1.0)
    it.charge("b", 2.5)
    assert set(it.in_credit) == {"b"}


def test_a_debt_is_paid_in_the_next_rounds() -> None:
    """`a` took three and a half quanta of one."""
    it = Rounds(a=1.0, b=1.0)
    it.charge("a", 3.5)

    rounds = 0
    while "a" not in it.in_credit:
        it.charge("b", 1.0)
        it.go_on()
        rounds += 1

    assert rounds == 3


def test_whoever_joins_waits_for_the_next_round() -> None:
    it = Rounds(a=1.0)

    it.quanta["b"] = 1.0
    it.join("b")
    it.go_on()
    assert set(it.in_credit) == {"a"}

    it.charge("a", 1.0)
    it.go_on()
    assert set(it.in_credit) == {"a", "b"}


def test_idling_saves_nothing_up() -> None:
    it = Rounds(a=1.0, b=1.0)
    it.leave("b")
    for _ in range(10):
        it.charge("a", 1.0)
        it.go_on()

    it.join("b")
    it.charge("a", 1.0)
    it.go_on()
    it.charge("b", 1.0)

    assert set(it.in_credit) == {"a"}, "one quantum, not eleven"


def test_service_out_of_credit_is_free() -> None:
    it = Rounds(a=1.0, b=1.0)
    it.charge("a", 1.0)

    it.charge("a", 50.0)
    it.charge("b", 1.0)
    it.go_on()

    assert set(it.in_credit) == {"a", "b"}


@pytest.mark.parametrize("quantum", [0.0, 1e-9, 1e-3])
def test_a_quantum_however_small_ends_a_round_at_once(quantum: float) -> None:
    it = Rounds(a=1.0, b=2.0)
    it.charge("a", 100.0)
    it.charge("b", 100.0)

    it.refill({"a": quantum, "b": 2 * quantum}.__getitem__)

    assert it.in_credit
