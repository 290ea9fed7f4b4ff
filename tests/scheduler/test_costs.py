"""Costs: what is learned from outcomes, how fast, and how far."""

from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest

from scheduler import Costs, Mode, StepShape
from tests.scheduler.traces import Machine

RANK = 16


def decoding(mode: Mode, sequences: int, adapters: int) -> StepShape:
    return StepShape(mode, sequences, adapters, RANK * adapters)


def shapes(seed: int) -> Iterator[StepShape]:
    """Steps as a server makes them: most decode only, some prefill."""
    random = Random(seed)
    while True:
        sequences = random.randint(1, 16)
        prefill = random.randint(1, 512) if random.random() < 0.3 else 0
        adapters = random.randint(1, min(sequences, 6))
        context = random.randint(0, 200) * sequences
        for mode in Mode:
            shape = decoding(mode, sequences, adapters)
            yield shape._replace(prefill_tokens=prefill, context_tokens=context)


def teach(costs: Costs, machine: Costs, seed: int, steps: int, slow: float = 1) -> None:
    """So many steps of either mode."""
    for shape in islice(shapes(seed), 2 * steps):
        costs.learn_step(shape, slow * machine.step_s(shape))


def worst_error(costs: Costs, machine: Costs, slow: float = 1) -> float:
    """The largest relative error over decoding steps of every size."""
    return max(
        abs(costs.step_s(shape) / (slow * machine.step_s(shape)) - 1)
        for mode in Mode
        for n in range(1, 17)
        for g in range(1, min(n, 6) + 1)
        for shape in (decoding(mode, n, g),)
    )


def test_before_the_first_outcome_everything_is_free() -> None:
    assert set(Costs().table().values()) == {0.0}


def test_one_outcome_is_enough_to_predict_the_same_step() -> None:
    costs = Costs()

    shape = StepShape(Mode.MIXED, 8, 3, 48, 100)
    costs.learn_step(shape, 0.02)

    assert costs.step_s(shape) == pytest.approx(0.02, rel=1e-3)


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

    costs.learn_step(decoding(Mode.MIXED, 8, 3), 0.02)

    assert costs.step_s(decoding(Mode.MERGED, 8, 1)) == 0.0


def test_adapters_cost_nothing_in_a_merged_step() -> None:
    costs = Costs()

    teach(costs, Machine(), seed=1, steps=100)

    one, six = (costs.step_s(decoding(Mode.MERGED, 8, n)) for n in (1, 6))
    assert one == six > 0


@pytest.mark.parametrize("times", [10, 1000])
def test_an_outlier_however_large_moves_a_prediction_by_a_tenth_at_most(
    times: int,
) -> None:
    costs, machine = Costs(), Machine()
    teach(costs, machine, seed=1, steps=1500)
    shape = decoding(Mode.MERGED, 8, 1)
    known = costs.step_s(shape)

    costs.learn_step(shape, times * known)

    assert known < costs.step_s(shape) <= 1.1001 * known


def test_an_outlier_is_forgotten_within_tens_of_steps() -> None:
    costs, machine = Costs(), Machine()
    teach(costs, machine, seed=1, steps=1500)

    costs.learn_step(decoding(Mode.MERGED, 8, 1), 100.0)
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

    shape = decoding(mode, 8, 3)
    now = slow * machine.step_s(shape)
    assert costs.step_s(shape) == pytest.approx(now, rel=0.25)


def test_no_prediction_is_ever_negative() -> None:
    """Outcomes that no linear machine gives: larger steps take less."""
    costs = Costs()
    random = Random(1)

    for shape in islice(shapes(1), 1000):
        seconds = random.choice([0.0, 1.0 / shape.sequences, random.expovariate(10)])
        costs.learn_step(shape, seconds)
        costs.learn_swap(warm=True, seconds=random.choice([0.0, 5.0]))

        assert min(costs.table().values()) >= 0.0


def test_a_larger_step_is_never_predicted_cheaper() -> None:
    costs = Costs()

    for shape in islice(shapes(1), 1000):
        costs.learn_step(shape, 1.0 / shape.sequences)

    sizes = [costs.step_s(decoding(Mode.MIXED, n, 2)) for n in range(1, 17)]
    assert sizes == sorted(sizes)


def test_ranks_and_context_have_their_price() -> None:
    costs, machine = Costs(), Machine(rank=0.0001, context=0.00001)

    teach(costs, machine, seed=1, steps=1500)

    assert worst_error(costs, machine) < 0.05
    long = decoding(Mode.MERGED, 8, 1)._replace(context_tokens=1600)
    assert costs.step_s(long) == pytest.approx(machine.step_s(long), rel=0.05)


def test_the_error_of_its_predictions_is_told() -> None:
    """A machine whose steps take 30 % more or less at random."""
    costs, machine, random = Costs(), Machine(), Random(1)
    assert costs.error is None

    for shape in islice(shapes(1), 2000):
        noise = random.choice([0.7, 1.3])
        costs.learn_step(shape, noise * machine.step_s(shape))

    assert costs.error is not None
    assert 0.2 < costs.error < 0.45


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_noisy_machine_is_learned_all_the_same(seed: int) -> None:
    """Most steps within 15 %, one in ten takes three times as long."""
    costs, machine, random = Costs(), Machine(), Random(seed)

    for shape in islice(shapes(seed), 3000):
        noise = 3.0 if random.random() < 0.1 else random.uniform(0.85, 1.15)
        costs.learn_step(shape, noise * machine.step_s(shape))

    assert costs.error is not None
    assert costs.error < 0.15
    assert worst_error(costs, machine) < 0.3


def test_what_is_kept_is_what_is_restored() -> None:
    costs = Costs()
    teach(costs, Machine(), seed=1, steps=200)
    costs.learn_swap(warm=True, seconds=0.001)
    costs.learn_swap(warm=False, seconds=0.1, rank=16)

    again = Costs.restored(costs.state())

    assert again.table() == pytest.approx(costs.table())
    with pytest.raises(ValueError, match="1 weights, not 4"):
        Costs.restored(costs.state() | {"merged": [1.0]})


@pytest.mark.parametrize("seconds", [1e-9, 1e-6, 1e-3, 1.0, 1e3])
def test_equal_outcomes_of_any_size_are_learned_and_break_nothing(
    seconds: float,
) -> None:
    costs = Costs()

    for sequences in (1, 4, 16) * 50:
        costs.learn_step(StepShape(Mode.MIXED, sequences, 1, 16, 0, 100), seconds)
        costs.learn_swap(warm=True, seconds=seconds)
        costs.learn_swap(warm=False, seconds=seconds, rank=16)

    found = costs.step_s(StepShape(Mode.MIXED, 4, 1, 16, 0, 100))
    assert found == pytest.approx(seconds, rel=0.05)
    assert costs.swap_s(warm=True) == pytest.approx(seconds, rel=0.05)
    assert costs.swap_s(warm=False, rank=16) == pytest.approx(seconds, rel=0.05)


# What a calibration of SmolLM2-135M on two busy cores took, in ms: sequences,
# adapters, ranks, prefill tokens, context. The first steps were the slowest.
_CALIBRATION = (
    (1, 1, 16, 256, 0, 598), (1, 1, 16, 0, 256, 89), (1, 1, 16, 0, 257, 99),
    (8, 1, 16, 256, 0, 625), (8, 1, 16, 0, 256, 128), (8, 1, 16, 0, 264, 146),
    (8, 4, 64, 256, 0, 608), (8, 4, 64, 0, 256, 119), (8, 4, 64, 0, 264, 136),
    (1, 1, 16, 256, 0, 568), (1, 1, 16, 0, 256, 70), (1, 1, 16, 0, 257, 66),
    (8, 1, 16, 256, 0, 552), (8, 1, 16, 0, 256, 102), (8, 1, 16, 0, 264, 98),
    (8, 4, 64, 256, 0, 582), (8, 4, 64, 0, 256, 98), (8, 4, 64, 0, 264, 91),
)  # fmt: skip


def test_a_real_calibration_leaves_no_weights_that_only_cancel_out() -> None:
    """They once did: a step of 16 sequences was then expected to take five seconds."""
    costs = Costs()

    for *shape, ms in _CALIBRATION:
        costs.learn_step(StepShape(Mode.MIXED, *shape), ms / 1e3)

    for *shape, ms in _CALIBRATION[-9:]:
        expected = 1e3 * costs.step_s(StepShape(Mode.MIXED, *shape))
        assert ms / 1.7 < expected < 1.7 * ms
    assert 0.08 < costs.step_s(StepShape(Mode.MIXED, 16, 8, 128, 0, 1600)) < 0.4
