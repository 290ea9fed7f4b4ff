"""Norm and rotation in C are transformers' own, each row in the bits it has alone."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import (
    LlamaRMSNorm,
    apply_rotary_pos_emb,
)

from hotswap.model.machine import row_operations as module
from hotswap.model.machine.row_operations import RowOperations, row_operations
from tests.compilers import compiled, needs_compiler

SOURCE = Path(module.__file__).with_name("row_operations.c")

# Of a norm's weight and of rows
TYPES = [
    (torch.float32, torch.float32),
    (torch.bfloat16, torch.float32),
    (torch.bfloat16, torch.bfloat16),
]

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def native() -> RowOperations:
    found = row_operations()
    assert found is not None, "they compute otherwise than torch"
    return found


def normed(
    native: RowOperations, rows: int, width: int, dtype: torch.dtype, given: torch.dtype
) -> None:
    """`dtype`: of the weight; `given`: of the rows."""
    torch.manual_seed(rows * 1000 + width)
    norm = LlamaRMSNorm(width, eps=1e-5).to(dtype)
    norm.weight.data.normal_()
    x = (torch.randn(rows, width) * 3).to(given)

    with torch.inference_mode():
        found = native.rms_norm(x, norm.weight, 1e-5)
        wanted = norm.to(given)(x)
    if given is torch.float32:
        torch.testing.assert_close(found, wanted, rtol=2e-6, atol=1e-6)
    else:  # another order of the sum: a number in a hundred is rounded otherwise
        torch.testing.assert_close(found, wanted, rtol=2**-6, atol=1e-6)
        assert (found != wanted).float().mean() < 0.02 + 2 / found.numel()


def rotated(
    native: RowOperations, rows: int, heads: int, dim: int, dtype: torch.dtype
) -> None:
    """The first `heads` of three more, sin as the chain of operations has it."""
    torch.manual_seed(rows * 1000 + dim)
    x = torch.randn(rows, heads + 3, dim).to(dtype)
    cos, sin = torch.randn(2, 1, rows, dim).to(dtype)
    turned = torch.cat((-sin[0, :, : dim // 2], sin[0, :, dim // 2 :]), -1)
    wide = x.transpose(0, 1)[None].float()
    wanted, _ = apply_rotary_pos_emb(wide, wide, cos.float(), sin.float())
    wanted = wanted[0].transpose(0, 1)[:, :heads].to(dtype)  # rounded once
    rest = x[:, heads:].clone()

    native.rotate(x, heads, cos[0, :, None].contiguous(), turned[:, None].contiguous())

    off = 1e-6 if dtype is torch.float32 else 2**-7
    torch.testing.assert_close(x[:, :heads], wanted, rtol=off, atol=1e-6)
    assert torch.equal(x[:, heads:], rest)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 40),
    width=st.integers(1, 700),
    types=st.sampled_from(TYPES),
)
def test_a_norm_is_transformers(
    rows: int, width: int, types: tuple[torch.dtype, torch.dtype]
) -> None:
    found = row_operations()
    assert found is not None
    normed(found, rows, width, *types)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 40),
    heads=st.integers(1, 12),
    half=st.integers(1, 64),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_a_rotation_is_transformers_and_leaves_other_heads(
    rows: int, heads: int, half: int, dtype: torch.dtype
) -> None:
    found = row_operations()
    assert found is not None
    rotated(found, rows, heads, 2 * half, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rows_bits_are_those_it_has_alone_on_any_number_of_threads(
    native: RowOperations, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    shapes = (64, 576), (576,), (64, 12, 64), (64, 1, 64), (64, 1, 64)
    x, weight, heads, cos, sin = (torch.randn(shape).to(dtype) for shape in shapes)

    def both(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        turned = heads[rows].clone()
        native.rotate(turned, 9, cos[rows], sin[rows])
        return native.rms_norm(x[rows], weight, 1e-5), turned

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        together = both(slice(None))
        torch.set_num_threads(2)
        for rows in (slice(None), *(slice(n, n + 1) for n in range(64))):
            for found, wanted in zip(both(rows), together, strict=True):
                assert torch.equal(found, wanted[rows])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_in_one_row_stays_in_it(
    native: RowOperations, dtype: torch.dtype
) -> None:
    x = torch.ones(3, 40, dtype=dtype)
    x[1, 7] = torch.nan

    found = native.rms_norm(x, torch.ones(40, dtype=dtype), 1e-5)

    assert bool(found[1].isnan().all())
    assert bool(found[[0, 2]].isfinite().all())


@pytest.mark.slow  # compiles
@pytest.mark.parametrize("lanes", [4, 16])
def test_vectors_of_every_width_compute_the_same(lanes: int, tmp_path: Path) -> None:
    native = RowOperations(compiled(SOURCE, tmp_path, LANES=lanes))

    for width in (1, 15, 70):
        for types in TYPES:
            normed(native, 5, width, *types)
        for dtype in (torch.float32, torch.bfloat16):
            rotated(native, 5, 3, 2 * width, dtype)
    module._try(native)


def test_ones_that_compute_otherwise_are_not_used(
    native: RowOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowOperations, "rms_norm", lambda self, x, *rest: x)
    row_operations.cache_clear()
    try:
        assert row_operations() is None
    finally:
        row_operations.cache_clear()
