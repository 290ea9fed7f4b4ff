"""One layer of a mixed step: each row gets its own update, and nobody else's leaks."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch.nn import functional as F

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.eager import lora_mapping
from hotswap.model.eager.batched_lora import SPREAD, STEADY, BatchedLora
from hotswap.model.eager.lora_stack import stacked_size
from hotswap.model.machine.segmented import Part, Segmented, Segments, segmented
from tests.compilers import needs_compiler
from tests.lora_layer import KERNELS, X, check, generation, made, update


def test_each_row_gets_its_own_update_whatever_the_ranks_and_targets() -> None:
    lora, stack = made()
    a, b = generation("a", 2, "q", "k"), generation("b", 5, "k")

    check(lora, stack, [b, None, a, b])
    check(lora, stack, [a, a, a, a])


@pytest.mark.parametrize(
    "native", [None, pytest.param(segmented, marks=needs_compiler)]
)
def test_silu_and_product_follow_for_rows_with_and_without_an_adapter(
    native: Callable[[], Segmented | None] | None,
) -> None:
    lora, stack = made(native() if native else None)
    owners = [generation("a", 2, "q"), None, generation("b", 5, "k")]
    other = torch.randn(3, 6)
    for own in (owners, [None, None, None]):
        lora.load(owner for owner in own if owner)
        with torch.inference_mode(), lora.step(own, []):
            found = stack.add_to(torch.ones(3, 6), X[:3])
            silu = stack.add_silu(torch.ones(3, 6), X[:3])
            product = stack.add_mul(torch.ones(3, 6), X[:3], other)

        torch.testing.assert_close(silu, F.silu(found))
        torch.testing.assert_close(product, found * other)


@needs_compiler
def test_beside_bfloat16_weights_factors_are_a_files_own_bits() -> None:
    native = segmented()
    lora = BatchedLora(
        torch.float32, torch.device("cpu"), KERNELS, native, torch.bfloat16
    )
    stack = lora.stack({"q": slice(0, 3)})
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(4, 4, generator=random).bfloat16() for _ in range(2))
    theirs = Generation(key="a", deltas={"q": Delta(a=a, b=b[:3], scale=2.0)})
    lora.load([theirs])

    with torch.inference_mode(), lora.step([theirs] * 4, []):
        found = stack.add_to(torch.zeros(4, 3), X)

    wanted = 2.0 * a.double().t() @ b[:3].double().t()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-6)
    size = stacked_size(2 * 4) * (4 + 3)
    assert lora.nbytes == 2 * size

    # Of one in float32 bfloat16 would lose bits: all are in float32 while it is there.
    check(lora, q := lora.stack({"q": slice(0, 3), "k": slice(3, 6)}), [None])
    strong = generation("b", 4, "q", "k")
    check(lora, q, [strong, None, strong])
    lora.load([theirs, strong])
    with torch.inference_mode(), lora.step([theirs, strong, theirs, theirs], []):
        beside = stack.add_to(torch.zeros(4, 3), X)
    assert torch.equal(beside[[0, 2, 3]], found[[0, 2, 3]])
    torch.testing.assert_close(beside[1], update(strong, "q")[1])
    lora.forget("a")
    lora.forget("b")
    lora.load([theirs])
    assert lora.nbytes < 4 * size + 4 * stacked_size(2 * 4) * (4 + 6)


@needs_compiler
def test_a_decoding_batch_is_sorted_once_and_again_when_its_rows_or_adapters_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lora, stack = made(segmented())
    more = [lora.stack({"q": slice(0, 3), "k": slice(3, 6)}) for _ in range(3)]
    sorted_rows: list[int] = []

    class Counted(Segments):
        def __init__(self, rows: Sequence[tuple[Part, ...]]) -> None:
            sorted_rows.append(len(rows))
            super().__init__(rows)

    monkeypatch.setattr(lora_mapping, "Segments", Counted)
    a, b = generation("a", 2, "q"), generation("b", 5, "q", "k")
    for _ in range(4):
        for each in (stack, *more):
            check(lora, each, [a, None, b])
    assert sorted_rows == [3]

    check(lora, stack, [a, b, b])
    check(lora, stack, [a, b, generation("c", 1, "k")])
    lora.forget("a")
    check(lora, stack, [None, b, generation("c", 1, "k")])
    assert sorted_rows == [3] * 4


def test_what_lingers_in_the_stack_adds_nothing() -> None:
    lora, stack = made()
    a, b = generation("a", 2, "q"), generation("b", 3, "q")
    check(lora, stack, [a, b, a, b])

    check(lora, stack, [a, None, a, None])
    check(lora, stack, [None, None, None, b])


def test_a_stack_grows_beyond_its_first_capacity() -> None:
    lora, stack = made()
    many = [generation(chr(97 + n), 30, "q", "k") for n in range(8)]

    check(lora, stack, many[:4])
    check(lora, stack, many[4:])
    check(lora, stack, many[2:6])


def test_stacks_of_all_sizes_are_computed_in_a_few() -> None:
    sizes = {stacked_size(rows) for rows in range(1, 513)}

    assert len(sizes) <= 12
    assert all(
        rows <= stacked_size(rows) <= max(rows + 15, 2 * rows) for rows in range(512)
    )


def test_a_stack_stays_right_when_it_is_packed_and_when_it_changes_after() -> None:
    lora, stack = made()
    a, b = generation("a", 3, "q", "k"), generation("b", 5, "k")
    for _ in range(STEADY + SPREAD):
        check(lora, stack, [a, None, b, a])
    assert stack.is_packed == KERNELS.copies

    check(lora, stack, [generation("c", 2, "q"), b, None, a])
    lora.forget("a")
    check(lora, stack, [None, b, b, None])


def test_an_adapter_of_huge_and_tiny_factors_harms_no_other_row() -> None:
    lora, stack = made()
    a = generation("a", 2, "q", "k")
    # 1.28 for each input and output, as it would be merged
    factors = Delta(
        a=torch.full((2, 4), 2.0**127), b=torch.full((3, 2), 2.0**-127), scale=0.64
    )
    huge = Generation(key="h", deltas={"q": factors})
    y = torch.ones(3, 6)
    lora.load([huge, a])
    with torch.inference_mode(), lora.step([huge, a, None], []):
        found = stack.add_to(y, 3 * torch.ones(3, 4))

    torch.testing.assert_close(found[0, :3], torch.full((3,), 1 + 3 * 4 * 1.28))
    wanted = 1 + 3 * torch.cat((update(a, "q").sum(0), update(a, "k").sum(0)))
    torch.testing.assert_close(found[1], wanted)
    assert torch.equal(found[2], torch.ones(6))


def test_scaling_loses_nothing_of_a_bfloat16_file_in_a_float32_model() -> None:
    lora, stack = made()

    check(lora, stack, [generation("a", 4, "q", "k", dtype=torch.bfloat16)] * 4)


def test_outside_a_mixed_step_nothing_is_added() -> None:
    lora, stack = made()
    check(lora, stack, [generation("a", 2, "q")] * 4)

    assert torch.equal(stack.add_to(torch.ones(4, 6), X), torch.ones(4, 6))


def test_the_memory_of_the_stacks_is_counted() -> None:
    lora, stack = made()
    a, b = generation("a", 2, "q", "k"), generation("b", 70, "k")
    row = 4 * (4 + 6)  # bytes of one in A and in B

    assert lora.nbytes == 0
    check(lora, stack, [a])
    assert 4 * row <= lora.nbytes < 70 * row
    check(lora, stack, [a, b])
    loose = lora.nbytes
    assert 74 * row <= loose
    for _ in range(STEADY + SPREAD):
        check(lora, stack, [a, b])
    assert (lora.nbytes >= loose + 74 * row) == stack.is_packed
    lora.forget("b")  # what was packed is out of date
    assert lora.nbytes == loose


def test_no_row_is_touched_by_what_another_adapter_makes_of_it() -> None:
    lora, stack = made()
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
    for _ in range(STEADY + SPREAD + 1):  # as it is, and packed
        y = torch.ones(3, 6)
        lora.load([huge, a])
        with torch.inference_mode(), lora.step([huge, a, None], []):
            found = stack.add_to(y, x)

        assert not bool(found[0].isfinite().any())
        wanted = 1 + 3 * torch.cat((update(a, "q").sum(0), update(a, "k").sum(0)))
        torch.testing.assert_close(found[1], wanted)
        assert torch.equal(found[2], torch.ones(6))
