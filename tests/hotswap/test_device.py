"""A slot is built beside the steps: nobody computes with it before it is finished."""

import pytest

from hotswap.errors import MergeFailed
from hotswap.model.eager import executor as executor_module
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import load
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from scheduler import BASE
from tests.late_device import WORK_S, Later, generation, made, shown


def test_a_slot_holds_nothing_until_the_side_has_finished_it() -> None:
    device, swappables, weights = made()
    a = generation("a")

    assert weights.build_ahead(a, 10.0) is None
    assert weights.build_ahead(a, 10.0) is None
    assert weights.warm == {BASE}
    device.run()
    seconds = weights.build_ahead(a, 10.0)

    assert seconds == pytest.approx(2 * WORK_S), "by the side's clock, not the host's"
    assert weights.warm == {BASE, "a"}
    swap = weights.activate(a)
    assert swap is not None
    assert swap.warm
    assert swap.seconds < WORK_S
    assert shown(swappables) == ["a", "a"]


def test_a_flip_waits_for_what_the_side_still_writes() -> None:
    _, swappables, weights = made()
    a = generation("a")
    weights.build_ahead(a, 10.0)

    swap = weights.activate(a)

    assert shown(swappables) == ["a", "a"]
    assert swap is not None
    assert not swap.warm
    assert swap.seconds == pytest.approx(2 * WORK_S, rel=0.01)


def test_slices_add_up_to_what_they_took() -> None:
    device, _, weights = made()
    a = generation("a")

    found = [weights.build_ahead(a, 0.0) for _ in range(3)]
    device.run()

    assert found == [None, None, None]
    assert weights.build_ahead(a, 0.0) == pytest.approx(2 * WORK_S)


def test_a_build_given_up_on_the_side_does_not_show_in_the_next() -> None:
    _, swappables, weights = made(slots=1)
    weights.activate(generation("a"))
    weights.activate(None)
    weights.build_ahead(generation("b"), 10.0)

    weights.activate(generation("c"))

    assert shown(swappables) == ["c", "c"]
    assert weights.warm == {BASE, "c"}


def test_the_slot_in_use_is_not_written_while_another_is_built() -> None:
    device, swappables, weights = made(slots=2)
    weights.activate(generation("a"))
    for key in "bcd":  # FakeSwappable fails on a write to a resident content
        other = generation(key)
        weights.build_ahead(other, 10.0)
        device.run()
        weights.build_ahead(other, 10.0)

        assert shown(swappables) == ["a", "a"]
        assert weights.warm == {BASE, "a", key}


def test_a_step_is_over_when_it_returns(
    model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Later()
    monkeypatch.setattr(executor_module, "device_of", lambda _: device)
    loaded = load(str(model_folder), "float32", "cpu")
    runner = EagerExecutor(loaded, slots=1, kv_tokens=64)
    runner.open(1, SamplingParams())

    runner.forward(
        [
            Row(
                job=1,
                tokens=[3],
                position=0,
                generation=None,
                wants_logits=False,
                blocks=own_blocks(0, 4),
            )
        ],
        mixed=False,
    )

    assert device.log == ["finish"]


def test_without_golden_the_bare_model_is_held_by_a_slot_like_any_other() -> None:
    _, swappables, weights = made(slots=2, has_golden=False)

    assert weights.resident == BASE
    assert shown(swappables) == [BASE, BASE]
    kinds = []
    for wanted in (generation("a", "x"), None, generation("b"), None):
        kinds.append(swap.warm if (swap := weights.activate(wanted)) else None)
        assert weights.resident == (wanted.key if wanted else BASE)
        assert set(shown(swappables)) == {weights.resident}

    assert kinds == [False, True, False, True]


def test_without_golden_one_slot_is_enough() -> None:
    _, swappables, weights = made(slots=1, has_golden=False)

    for wanted in (generation("a"), None, generation("b"), generation("a")):
        swap = weights.activate(wanted)
        assert swap is not None
        assert not swap.warm
        assert weights.warm == {wanted.key if wanted else BASE}
        assert set(shown(swappables)) == weights.warm
    weights.forget("a")

    assert weights.warm == set()
    weights.activate(None)
    assert weights.resident == BASE
    assert shown(swappables) == [BASE, BASE]


def test_without_golden_a_failed_merge_leaves_the_bare_model_resident() -> None:
    _, swappables, weights = made(slots=1, has_golden=False)
    weights.activate(generation("a"))
    swappables[1].breaks_at = "b"

    with pytest.raises(MergeFailed, match="b: injected"):
        weights.activate(generation("b"))

    assert weights.resident == BASE
    assert shown(swappables) == [BASE, BASE]
