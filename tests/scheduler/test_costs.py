"""Costs: what is learned from outcomes, how fast, and how far."""

from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest

from scheduler import Costs, Mode
from tests.scheduler.traces import Machine

Shape = tuple[int, int, int]  # sequences, adapters, prefill tokens


def shapes(seed: int) -> Iterator[Shape]:
    """Steps as a server makes them: most decode only, some prefill."""
    random = Random(seed)
    while True:
        sequences = random.randint(1, 16)
        prefill = random.randint(1, 512) if random.random() < 0.3 else 0
        yield sequences, random.randint(1, min(sequences, 6)), prefill


def teach(costs: Costs, machine: Costs, seed: int, steps: int, slow: float = 1) -> None:
    for mode in Mode:
        for shape in islice(shapes(seed), steps):
            costs.learn_step(mode, *shape, slow * machine.step_s(mode, *shape))


def worst_error(costs: Costs, machine: Costs, slow: float = 1) -> float:
    """The largest relative error over decoding steps of every size."""
    return max(
        abs(costs.step_s(mode, n, g) / (slow * machine.step_s(mode, n, g)) - 1)
        for mode in Mode
        for n in range(1, 17)
        for g in range(1, min(n, 6) + 1)
    )


def test_before_the_first_outcome_everything_is_free() -> None:
    assert set(Costs().table().values()) == {0.0}


def test_one_outcome_is_enough_to_predict_the_same_step() -> None:
    costs = Costs()

    costs.learn_step(Mode.MIXED, 8, 3, 100, 0.02)

    assert costs.step_s(Mode.MIXED, 8, 3, 100) == pytest.approx(0.02)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_linear_machine_is_learned_within_a_twentieth(seed: int) -> None:
    costs, machine = Costs(), Machine()

    teach(costs, machine, seed, steps=1500)

    assert worst_error(costs, machine) < 0.05


def test_the_price_of_a_prefill_token_is_learned_within_a_tenth() -> None:
    costs = Costs()

    teach(costs, Machine(prefill=0.0001), seed=1, steps=1500)

    assert costs.table()["mixed_prefill_token_s"] == pytest.approx(0.0001, rel=0.1)


def test_modes_learn_apart() -> None:
    costs = Costs()

    costs.learn_step(Mode.MIXED, 8, 3, 0, 0.02)

    assert costs.step_s(Mode.MERGED, 8, 1) == 0.0


def test_adapters_cost_nothing_in_a_merged_step() -> None:
    costs = Costs()

    teach(costs, Machine(), seed=1, steps=100)

    assert costs.step_s(Mode.MERGED, 8, 1) == costs.step_s(Mode.MERGED, 8, 6)


@pytest.mark.parametrize("times", [10, 1000])
def test_an_outlier_however_large_moves_a_prediction_by_a_tenth_at_most(
    times: int,
) -> None:
    costs, machine = Costs(), Machine()
    teach(costs, machine, seed=1, steps=1500)
    known = costs.step_s(Mode.MERGED, 8, 1)

    costs.learn_step(Mode.MERGED, 8, 1, 0, times * known)

    assert known < costs.step_s(Mode.MERGED, 8, 1) <= 1.1001 * known


def test_an_outlier_is_forgotten_within_tens_of_steps() -> None:
    costs, machine = Costs(), Machine()
    teach(costs, machine, seed=1, steps=1500)

    costs.learn_step(Mode.MERGED, 8, 1, 0, 100.0)
    teach(costs, machine, seed=2, steps=50)

    assert worst_error(costs, machine) < 0.05


@pytest.mark.parametrize("slow", [0.2, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("mode", Mode)
def test_a_lasting_change_is_followed_within_fifty_steps(
    slow: float, mode: Mode
) -> None:
    """To a quarter, for a step of ordinary size."""
    costs, machine = Costs(), Machine()
    teach(costs, machine, seed=1, steps=1500)

    teach(costs, machine, seed=2, steps=50, slow=slow)

    now = slow * machine.step_s(mode, 8, 3)
    assert costs.step_s(mode, 8, 3) == pytest.approx(now, rel=0.25)


def test_no_prediction_is_ever_negative() -> None:
    """Outcomes that no linear machine gives: larger steps take less."""
    costs = Costs()
    random = Random(1)

    for sequences, adapters, prefill in islice(shapes(1), 500):
        seconds = random.choice([0.0, 1.0 / sequences, random.expovariate(10)])
        costs.learn_step(Mode.MIXED, sequences, adapters, prefill, seconds)
        costs.learn_swap(warm=True, seconds=random.choice([0.0, 5.0]))

        assert min(costs.table().values()) >= 0.0


def test_a_larger_step_is_never_predicted_cheaper() -> None:
    costs = Costs()

    for sequences, adapters, prefill in islice(shapes(1), 500):
        costs.learn_step(Mode.MIXED, sequences, adapters, prefill, 1.0 / sequences)

    sizes = [costs.step_s(Mode.MIXED, n, 2) for n in range(1, 17)]
    assert sizes == sorted(sizes)


def test_warm_and_cold_swaps_are_learned_apart() -> None:
    costs = Costs()

    costs.learn_swap(warm=True, seconds=0.001)
    costs.learn_swap(warm=False, seconds=0.5)

    assert costs.swap_s(warm=True) == 0.001
    assert costs.swap_s(warm=False) == 0.5


def test_one_slow_swap_raises_the_price_by_a_fifth_at_most() -> None:
    costs = Costs()
    costs.learn_swap(warm=False, seconds=0.1)

    costs.learn_swap(warm=False, seconds=60.0)

    assert costs.swap_s(warm=False) == pytest.approx(0.12)


@pytest.mark.parametrize("first", [0.0, 0.1, 1.0])
def test_a_lasting_change_of_the_swap_is_followed_whatever_the_first_one_took(
    first: float,
) -> None:
    costs = Costs()
    costs.learn_swap(warm=False, seconds=first)

    for _ in range(90):
        costs.learn_swap(warm=False, seconds=0.5)

    assert costs.swap_s(warm=False) == pytest.approx(0.5, rel=0.05)
