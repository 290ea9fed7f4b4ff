"""The stack of a mixed step: who is in it, and that nobody else's update leaks."""

from contextlib import suppress

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotswap.adapters.deltas import Delta, Generation
from hotswap.errors import MixFailed
from hotswap.model.beside import _LINGER, _SPREAD, _STEADY, Beside, Stack, _sized
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
    beside.seat(owner for owner in owners if owner)
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

    assert set(beside.members) == {"b", "c"}
    check(beside, stack, [a, b, c, a])


def test_a_stack_grows_beyond_its_first_capacity() -> None:
    beside, stack = made()
    many = [generation(chr(97 + n), 30, "q", "k") for n in range(8)]

    check(beside, stack, many[:4])
    check(beside, stack, many[4:])
    check(beside, stack, many[2:6])


def test_stacks_of_all_sizes_are_computed_in_a_few() -> None:
    sizes = {_sized(rows) for rows in range(1, 513)}

    assert len(sizes) <= 12
    assert all(rows <= _sized(rows) <= max(rows + 15, 2 * rows) for rows in range(512))


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

    assert set(beside.members) == {"b"}
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
    beside.seat([huge, a])
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


@pytest.mark.parametrize("idle", range(1, 6))
@pytest.mark.parametrize("newcomers", range(1, 4))
def test_a_newcomer_may_sit_down_in_the_step_in_which_idle_ones_leave(
    idle: int, newcomers: int
) -> None:
    beside, stack = made()
    early = [generation(chr(97 + n), 2, "q") for n in range(idle)]
    late = [generation(chr(110 + n), 3, "q", "k") for n in range(newcomers)]
    check(beside, stack, [*early[:4]])
    check(beside, stack, [*early[4:], None])
    for _ in range(_LINGER + 1):
        check(beside, stack, [None])

    check(beside, stack, [*late])
    beside.forget(late[0].key)
    check(beside, stack, [*late[1:], early[0]])


def test_no_row_is_touched_by_what_another_adapter_makes_of_it() -> None:
    beside, stack = made()
    a = generation("a", 2, "q", "k")
    # Of an input of 3 the huge one makes infinity, for its own row alone; and what the
    # base computes with is so large that every adapter would make infinity of it.
    big = torch.finfo(torch.float32).max
    x = 3 * torch.ones(3, 4)
    x[2] = big
    huge = Generation(
        key="h",
        deltas={
            "q": Delta(a=torch.ones(2, 4), b=torch.full((3, 2), big / 4), scale=2.0),
            "k": Delta(a=torch.ones(1, 4), b=torch.full((3, 1), -big / 4), scale=2.0),
        },
    )
    for _ in range(_STEADY + _SPREAD + 1):  # as it is, and packed
        y = torch.ones(3, 6)
        beside.seat([huge, a])
        with torch.inference_mode(), beside.step([huge, a, None], []):
            found = stack.add_to(y, x)

        assert not bool(found[0].isfinite().any())
        wanted = 1 + 3 * torch.cat((update(a, "q").sum(0), update(a, "k").sum(0)))
        torch.testing.assert_close(found[1], wanted)
        assert torch.equal(found[2], torch.ones(6))


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("which", ["a", "b"])
def test_factors_that_are_not_finite_never_sit_beside_others(
    value: float, which: str
) -> None:
    beside, stack = made()
    a, planted = generation("a", 2, "q"), generation("p", 2, "q", "k")
    getattr(planted.deltas["k"], which)[1, 1] = value
    check(beside, stack, [a, None])

    with pytest.raises(MixFailed, match="generation p"):
        beside.seat([planted, a])

    check(beside, stack, [a, None, a])
    assert "p" not in stack._columns


def test_what_is_merged_only_never_sits_beside_others() -> None:
    beside, _ = made()
    other = Generation(key="m", deltas={}, fits_beside=False, note="merged only: huge")

    with pytest.raises(MixFailed, match="merged only: huge"):
        beside.seat([other])


def test_factors_keep_every_bit_of_an_ordinary_adapter() -> None:
    delta = generation("a", 4, "q").deltas["q"]
    small = Delta(a=delta.a / 8, b=delta.b / 8, scale=0.5)

    a, b = small.factors(torch.device("cpu"))

    assert torch.equal(a, small.a.double())
    assert torch.equal(b, small.b.t().double() / 2)


def test_factors_are_finite_wherever_the_update_is() -> None:
    tiny, huge = torch.full((2, 4), 2.0**-120), torch.full((3, 2), 2.0**120)

    for a, b, scale in ((tiny, huge, 1e3), (huge.t(), tiny.t(), 1e-3)):
        for factor in Delta(a=a, b=b, scale=scale).factors(torch.device("cpu")):
            assert bool(factor.half().isfinite().all())
            assert float(factor.half().abs().min()) > 0


NAMES = "abcdefgh"
CAST = {
    name: generation(name, 1 + n % 3, *[("q", "k"), ("q", "o"), ("o",)][n % 3])
    for n, name in enumerate(NAMES)
}
BROKEN = {
    name: Generation(
        key=name,
        # The third layer cannot take it, whatever the first two did
        deltas=CAST[name].deltas
        | {"o": Delta(a=torch.ones(2, 4), b=torch.full((3, 2), torch.inf), scale=1.0)},
    )
    for name in NAMES
}


class Books(RuleBasedStateMachine):
    """Adapters join, are used, idle, are forgotten and fail in any order: each row of
    each layer gets its own adapter's update, from the step on in which it comes."""

    def __init__(self) -> None:
        super().__init__()
        cpu = torch.device("cpu")
        self.beside = Beside(torch.float32, cpu, kernels_for(torch.float32, cpu))
        self.layers = {
            parts: self.beside.stack({p: slice(3 * n, 3 * n + 3) for n, p in parts})
            for parts in (((0, "q"), (1, "k")), ((0, "k"),), ((0, "o"), (1, "q")))
        }

    @rule(names=st.lists(st.sampled_from(" " + NAMES), min_size=1, max_size=4))
    def use(self, names: list[str]) -> None:
        owners = [CAST.get(name) for name in names]
        self.beside.seat(owner for owner in owners if owner)
        with torch.inference_mode(), self.beside.step(owners, []):
            for parts, stack in self.layers.items():
                y = torch.ones(len(owners), 3 * len(parts))
                found = stack.add_to(y, X[: len(owners)])
                for row, owner in enumerate(owners):
                    wanted = torch.cat([update(owner, p)[row] for _, p in parts])
                    torch.testing.assert_close(found[row], 1 + wanted)

    @rule(steps=st.integers(1, _LINGER + 2))
    def idle(self, steps: int) -> None:
        for _ in range(steps):
            self.beside.seat([])

    @rule(name=st.sampled_from(NAMES))
    def forget(self, name: str) -> None:
        self.beside.forget(name)
        assert all(name not in stack._columns for stack in self.layers.values())

    @rule(name=st.sampled_from(NAMES), also=st.sampled_from(NAMES))
    def fail(self, name: str, also: str) -> None:
        self.beside.forget(name)
        with suppress(MixFailed):
            self.beside.seat([CAST[also], BROKEN[name]])
            raise AssertionError("it joined")
        assert all(name not in stack._columns for stack in self.layers.values())

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def lack_memory(self, names: set[str]) -> None:
        """The device fails while some leave: all do, and come when they are used."""
        last = list(self.layers.values())[-1]

        def keep(keys: set[str]) -> None:
            if keys:
                raise MemoryError
            Stack.keep(last, keys)

        last.keep = keep  # type: ignore[method-assign]
        with suppress(MemoryError):
            self.beside._keep(names)
        del last.keep

    @invariant()
    def every_row_is_a_members(self) -> None:
        for stack in self.layers.values():
            assert set(stack._columns) <= self.beside.members


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
