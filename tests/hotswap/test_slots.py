"""Which slot is built into next, which is kept, and which is given up."""

from pathlib import Path

from hotswap.adapters.checkpoint import read
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import load
from scheduler import BASE
from tests import late_device
from tests.hotswap.test_weights import read_all


def test_the_least_recently_used_slot_is_rebuilt_and_a_held_one_flips(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    a, b, c = read_all(adapter_folders, runner)[:3]
    weights = runner.weights

    kinds = [weights.activate(g) for g in (a, b, a, None, a, c, a, b)]

    assert [k.warm if k else None for k in kinds] == [
        False,
        False,
        True,
        True,
        True,
        False,  # c takes the slot of b
        True,
        False,
    ]
    assert weights.activate(b) is None


def test_forgetting_the_resident_makes_golden_resident(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    generation = read_all(adapter_folders, runner)[0]
    runner.weights.activate(generation)

    runner.forget(generation.key)

    assert runner.weights.resident == BASE
    assert runner.weights.warm == {BASE}


def test_an_emptied_slot_is_filled_before_one_that_never_had_memory() -> None:
    _, swappables, weights = late_device.made(slots=2)
    weights.activate(late_device.generation("a"))
    weights.forget("a")

    weights.activate(late_device.generation("b"))

    assert [swappable.made for swappable in swappables] == [1, 1]


def test_a_pinned_slot_is_given_up_last(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    a, b, c = (read(adapter_folders / f"a{n}", runner.layout) for n in range(3))
    runner.weights.pinned = frozenset({a.key})
    for generation in (a, b, b, None, b, None, c):  # b is worth more than a
        runner.weights.activate(generation)

    assert runner.weights.warm == {BASE, a.key, c.key}


def test_a_slot_built_ahead_is_not_the_next_to_be_given_up() -> None:
    device, _, weights = late_device.made(slots=2)
    older, old, ahead, other = map(late_device.generation, "abcd")
    for generation in (older, old, None):
        weights.activate(generation)

    weights.build_ahead(ahead, budget_s=10.0)
    device.run()
    assert weights.build_ahead(ahead, budget_s=10.0) is not None
    weights.build_ahead(other, budget_s=0.0)

    assert weights.warm == {BASE, ahead.key}


def test_the_slot_that_is_used_most_outlives_those_used_once(
    model_folder: Path, adapter_folders: Path
) -> None:
    three = EagerExecutor(
        load(str(model_folder), "float32", "cpu"), slots=3, kv_tokens=64
    )
    hot, *others = read_all(adapter_folders, three)
    for _ in range(200):
        three.weights.activate(hot)
        three.weights.activate(None)

    for other in others[:4]:
        three.weights.activate(other)

    assert hot.key in three.weights.warm
