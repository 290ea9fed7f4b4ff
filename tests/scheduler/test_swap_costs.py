"""What a swap costs, learned from outcomes, warm and cold apart."""

import pytest

from scheduler import Costs


def test_warm_and_cold_swaps_are_learned_apart() -> None:
    costs = Costs()

    costs.learn_swap(warm=True, seconds=0.001)
    costs.learn_swap(warm=False, seconds=0.5)

    assert costs.swap_s(warm=True) == pytest.approx(0.001, rel=0.01)
    assert costs.swap_s(warm=False) == pytest.approx(0.5, rel=0.01)


def test_a_cold_swap_is_priced_by_the_rank_of_its_own_generation() -> None:
    """20 ms to copy and 2 ms for each rank."""
    costs = Costs()

    for rank in (8, 64, 16, 32) * 5:
        costs.learn_swap(warm=False, seconds=0.020 + 0.002 * rank, rank=rank)

    for rank in (4, 16, 128):
        expected = 0.020 + 0.002 * rank
        assert costs.swap_s(warm=False, rank=rank) == pytest.approx(expected, rel=0.05)


def test_one_slow_swap_raises_the_price_by_a_quarter_at_most() -> None:
    costs = Costs()
    costs.learn_swap(warm=False, seconds=0.1)

    costs.learn_swap(warm=False, seconds=60.0)

    assert 0.1 < costs.swap_s(warm=False) <= 0.126


@pytest.mark.parametrize("first", [0.0, 0.1, 1.0])
def test_a_lasting_change_of_the_swap_is_followed_whatever_the_first_one_took(
    first: float,
) -> None:
    costs = Costs()
    costs.learn_swap(warm=False, seconds=first)

    for _ in range(90):
        costs.learn_swap(warm=False, seconds=0.5)

    assert costs.swap_s(warm=False) == pytest.approx(0.5, rel=0.05)


def test_a_lasting_change_of_swaps_of_one_rank_is_followed_within_tens() -> None:
    """Whichever part of the price it was: with one rank that stays open for ever."""
    costs = Costs()
    for _ in range(200):
        costs.learn_swap(warm=False, seconds=1.0, rank=16)

    for _ in range(20):
        costs.learn_swap(warm=False, seconds=0.2, rank=16)

    assert costs.swap_s(warm=False, rank=16) == pytest.approx(0.2, rel=0.1)
