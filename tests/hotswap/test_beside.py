"""The stack of a mixed step: who is in it, and that nobody else's update leaks."""

import torch

from hotswap.adapters.deltas import Delta, Generation
from hotswap.model.beside import _LINGER, Beside, Branch, Target

X = torch.eye(4)


def generation(key: str, rank: int, *modules: str) -> Generation:
    random = torch.Generator().manual_seed(ord(key[0]))
    deltas = {
        module: Delta(
            a=torch.randn(rank, 4, generator=random),
            b=torch.randn(3, rank, generator=random),
            scale=0.5,
        )
        for module in modules
    }
    return Generation(key=key, deltas=deltas)


def update(of: Generation | None, module: str) -> torch.Tensor:
    """What the adapter adds for a row, by the definition."""
    if of is None or module not in of.deltas:
        return torch.zeros(4, 3)
    delta = of.deltas[module]
    return (delta.scale * delta.b @ delta.a).t()


def made() -> tuple[Beside, Branch]:
    """Two layers of one input: q and k stacked in the first, v in the second."""
    beside = Beside(torch.float32, torch.device("cpu"))
    first = Target({"q": slice(0, 3), "k": slice(3, 6)}, 6)
    return beside, beside.branch([first, Target({"v": slice(0, 3)}, 3)])


def added(
    beside: Beside, branch: Branch, owners: list[Generation | None]
) -> tuple[torch.Tensor, torch.Tensor]:
    with beside.step(owners, []):
        lows = branch.shrink(X)
    first, second = (
        low.h @ low.b if low else torch.zeros(4, size)
        for low, size in zip(lows, (6, 3), strict=True)
    )
    return first, second


def check(beside: Beside, branch: Branch, owners: list[Generation | None]) -> None:
    first, second = added(beside, branch, owners)
    for row, owner in enumerate(owners):
        wanted = torch.cat((update(owner, "q")[row], update(owner, "k")[row]))
        torch.testing.assert_close(first[row], wanted)
        torch.testing.assert_close(second[row], update(owner, "v")[row])


def test_each_row_gets_its_own_update_whatever_the_ranks_and_targets() -> None:
    beside, branch = made()
    a, b = generation("a", 2, "q", "k", "v"), generation("b", 5, "k")

    check(beside, branch, [b, None, a, b])
    check(beside, branch, [a, a, a, a])


def test_what_lingers_in_the_stack_adds_nothing() -> None:
    beside, branch = made()
    a, b = generation("a", 2, "q", "v"), generation("b", 3, "q", "v")
    check(beside, branch, [a, b, a, b])

    check(beside, branch, [a, None, a, None])
    check(beside, branch, [None, None, None, b])


def test_an_adapter_that_is_long_unused_leaves_when_another_comes() -> None:
    beside, branch = made()
    a, b = generation("a", 2, "q"), generation("b", 3, "q")
    check(beside, branch, [a] * 4)
    for _ in range(_LINGER):
        check(beside, branch, [None] * 4)

    check(beside, branch, [b] * 4)

    assert list(beside._stacked) == ["b"]


def test_a_forgotten_generation_leaves_at_once_and_may_come_back() -> None:
    beside, branch = made()
    a, b = generation("a", 2, "q"), generation("b", 3, "q")
    check(beside, branch, [a, b, a, b])

    beside.forget("a")

    assert list(beside._stacked) == ["b"]
    check(beside, branch, [a, b, None, b])


def test_outside_a_mixed_step_nothing_is_added() -> None:
    beside, branch = made()
    check(beside, branch, [generation("a", 2, "q")] * 4)

    assert branch.shrink(X) == [None, None]
