"""The stack of a mixed step: who is in it, and that nobody else's update leaks."""

import pytest
import torch

from hotswap.adapters.deltas import Delta, Generation
from hotswap.model.beside import _LINGER, _SPREAD, _STEADY, Beside, Stack
from hotswap.model.kernels import kernels_for

X = torch.eye(4)


def generation(
    key: str, rank: int, *modules: str, dtype: torch.dtype = torch.float32
) -> Generation:
    random = torch.Generator().manual_seed(ord(key[0]))
    deltas = {
        module: Delta(
            a=torch.randn(rank, 4, generator=random).to(dtype),
            b=torch.randn(3, rank, generator=random).to(dtype),
            scale=0.3,
        )
        for module in modules
    }
    return Generation(key=key, deltas=deltas)


def update(of: Generation | None, module: str) -> torch.Tensor:
    """What the adapter adds for a row, by the definition."""
    if of is None or module not in of.deltas:
        return torch.zeros(4, 3)
    delta = of.deltas[module]
    return (delta.scale * delta.b.float() @ delta.a.float()).t()


def made() -> tuple[Beside, Stack]:
    """A layer that stacks q and k."""
    cpu = torch.device("cpu")
    beside = Beside(torch.float32, cpu, kernels_for(torch.float32, cpu))
    return beside, beside.stack({"q": slice(0, 3), "k": slice(3, 6)})


def check(beside: Beside, stack: Stack, owners: list[Generation | None]) -> None:
    y = torch.ones(len(owners), 6)
    with torch.inference_mode(), beside.step(owners, []):
        found = stack.add_to(y, X[: len(owners)])
    for row, owner in enumerate(owners):
        wanted = torch.cat((update(owner, "q")[row], update(owner, "k")[row]))
        torch.testing.assert_close(found[row], 1 + wanted)


def test_each_row_gets_its_own_update_whatever_the_ranks_and_targets() -> None:
    beside, stack = made()
    a, b = generation("a", 2, "q", "k"), generation("b", 5, "k")

    check(beside, stack, [b, None, a, b])
    check(beside, stack, [a, a, a, a])


def test_what_lingers_in_the_stack_adds_nothing() -> None:
    beside, stack = made()
    a, b = generation("a", 2, "q"), generation("b", 3, "q")
    check(beside, stack, [a, b, a, b])

    check(beside, stack, [a, None, a, None])
    check(beside, stack, [None, None, None, b])


def test_adapters_that_are_long_unused_leave_and_the_others_stay_right() -> None:
    beside, stack = made()
    a, b, c = (generation(key, 3, "q", "k") for key in "abc")
    check(beside, stack, [a, b, c, a])
    for _ in range(_LINGER + 1):
        check(beside, stack, [c, None, b, None])

    check(beside, stack, [b, c, None, c])

    assert beside._members == ["b", "c"]
    check(beside, stack, [a, b, c, a])


def test_a_stack_grows_beyond_its_first_capacity() -> None:
    beside, stack = made()
    many = [generation(chr(97 + n), 30, "q", "k") for n in range(8)]

    check(beside, stack, many[:4])
    check(beside, stack, many[4:])
    check(beside, stack, many[2:6])


def test_a_stack_stays_right_when_it_is_packed_and_when_it_changes_after() -> None:
    beside, stack = made()
    a, b = generation("a", 3, "q", "k"), generation("b", 5, "k")
    for _ in range(_STEADY + _SPREAD):
        check(beside, stack, [a, None, b, a])
    assert (stack._packed is not None) == beside.kernels.copies

    check(beside, stack, [generation("c", 2, "q"), b, None, a])
    beside.forget("a")
    check(beside, stack, [None, b, b, None])


def test_a_forgotten_generation_leaves_at_once_and_may_come_back() -> None:
    beside, stack = made()
    a, b = generation("a", 2, "q"), generation("b", 3, "q")
    check(beside, stack, [a, b, a, b])

    beside.forget("a")

    assert beside._members == ["b"]
    check(beside, stack, [a, b, None, b])


def test_an_adapter_that_fails_to_join_leaves_nothing_to_the_next() -> None:
    beside, stack = made()
    beside.stack({"o": slice(0, 3)})
    a, b, c = generation("a", 2, "q"), generation("b", 3, "o"), generation("c", 4, "q")
    no_memory = Delta(a=torch.ones(2, 4), b=torch.ones(9, 2), scale=1.0)
    broken = Generation(key="x", deltas={**c.deltas, "o": no_memory})
    check(beside, stack, [a, None, a, None])

    with pytest.raises(RuntimeError, match="size"):
        check(beside, stack, [a, broken, b, None])

    check(beside, stack, [c, None, a, b])


def test_an_adapter_of_huge_and_tiny_factors_harms_no_other_row() -> None:
    beside, stack = made()
    a = generation("a", 2, "q", "k")
    # 1.28 for each input and output, as it would be merged
    factors = Delta(
        a=torch.full((2, 4), 2.0**127), b=torch.full((3, 2), 2.0**-127), scale=0.64
    )
    huge = Generation(key="h", deltas={"q": factors})
    y = torch.ones(3, 6)
    with torch.inference_mode(), beside.step([huge, a, None], []):
        found = stack.add_to(y, 3 * torch.ones(3, 4))

    torch.testing.assert_close(found[0, :3], torch.full((3,), 1 + 3 * 4 * 1.28))
    wanted = 1 + 3 * torch.cat((update(a, "q").sum(0), update(a, "k").sum(0)))
    torch.testing.assert_close(found[1], wanted)
    assert torch.equal(found[2], torch.ones(6))


def test_scaling_loses_nothing_of_a_bfloat16_file_in_a_float32_model() -> None:
    beside, stack = made()

    check(beside, stack, [generation("a", 4, "q", "k", dtype=torch.bfloat16)] * 4)


def test_outside_a_mixed_step_nothing_is_added() -> None:
    beside, stack = made()
    check(beside, stack, [generation("a", 2, "q")] * 4)

    assert torch.equal(stack.add_to(torch.ones(4, 6), X), torch.ones(4, 6))


def test_the_memory_of_the_stacks_is_counted() -> None:
    beside, stack = made()
    a, b = generation("a", 2, "q", "k"), generation("b", 70, "k")

    assert beside.nbytes == 0
    for owners in ([a], [a, b], *([[a, b]] * (_STEADY + _SPREAD)), [a]):
        check(beside, stack, owners)
        held = (stack._a, stack._b, *(stack._packed or ()))
        assert beside.nbytes == sum(tensor.nbytes for tensor in held)
    beside.forget("b")
    assert stack._packed is None
    assert beside.nbytes == stack._a.nbytes + stack._b.nbytes
