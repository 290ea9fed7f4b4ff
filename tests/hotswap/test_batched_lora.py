"""Who is in the stacks of a mixed step: adapters come, idle, leave and fail."""

import pytest
import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import MixFailed
from hotswap.model.eager.batched_lora import LINGER
from tests.lora_layer import check, generation, made


def test_adapters_that_are_long_unused_leave_and_the_others_stay_right() -> None:
    lora, stack = made()
    a, b, c = (generation(key, 3, "q", "k") for key in "abc")
    check(lora, stack, [a, b, c, a])
    for _ in range(LINGER + 1):
        check(lora, stack, [c, None, b, None])

    check(lora, stack, [b, c, None, c])

    assert set(lora.loaded) == {"b", "c"}
    check(lora, stack, [a, b, c, a])


def test_a_forgotten_generation_leaves_at_once_and_may_come_back() -> None:
    lora, stack = made()
    a, b = generation("a", 2, "q"), generation("b", 3, "q")
    check(lora, stack, [a, b, a, b])

    lora.forget("a")

    assert set(lora.loaded) == {"b"}
    check(lora, stack, [a, b, None, b])


def test_an_adapter_that_fails_to_join_leaves_nothing_to_the_next() -> None:
    lora, stack = made()
    lora.stack({"o": slice(0, 3)})
    a, b, c = generation("a", 2, "q"), generation("b", 3, "o"), generation("c", 4, "q")
    no_memory = Delta(a=torch.ones(2, 4), b=torch.ones(9, 2), scale=1.0)
    broken = Generation(key="x", deltas={**c.deltas, "o": no_memory})
    check(lora, stack, [a, None, a, None])

    with pytest.raises(RuntimeError, match="size"):
        check(lora, stack, [a, broken, b, None])

    check(lora, stack, [c, None, a, b])


@pytest.mark.parametrize("idle", range(1, 6))
@pytest.mark.parametrize("newcomers", range(1, 4))
def test_a_newcomer_may_sit_down_in_the_step_in_which_idle_ones_leave(
    idle: int, newcomers: int
) -> None:
    lora, stack = made()
    early = [generation(chr(97 + n), 2, "q") for n in range(idle)]
    late = [generation(chr(110 + n), 3, "q", "k") for n in range(newcomers)]
    check(lora, stack, [*early[:4]])
    check(lora, stack, [*early[4:], None])
    for _ in range(LINGER + 1):
        check(lora, stack, [None])

    check(lora, stack, [*late])
    lora.forget(late[0].key)
    check(lora, stack, [*late[1:], early[0]])


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("which", ["a", "b"])
def test_factors_that_are_not_finite_never_sit_beside_others(
    value: float, which: str
) -> None:
    lora, stack = made()
    a, planted = generation("a", 2, "q"), generation("p", 2, "q", "k")
    getattr(planted.deltas["k"], which)[1, 1] = value
    check(lora, stack, [a, None])

    with pytest.raises(MixFailed, match="generation p"):
        lora.load([planted, a])

    check(lora, stack, [a, None, a])
    assert "p" not in stack.owners


def test_what_is_merged_only_never_sits_beside_others() -> None:
    lora, _ = made()
    other = Generation(key="m", deltas={}, fits_mixed=False, note="merged only: huge")

    with pytest.raises(MixFailed, match="merged only: huge"):
        lora.load([other])
