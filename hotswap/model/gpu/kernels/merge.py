"""A merge in one pass: round(golden + scale * B A). Not yet run on a GPU.

It is bound by memory: golden is read once, the slot written once. The factors, rank
rows of them, come from the L2 cache.
"""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

Update = tuple[slice, Tensor, Tensor, float]
"""Rows of a weight, a [r, in], b [rows, r], scale: what an adapter adds to them."""

BLOCK_ROWS, BLOCK_COLUMNS, WARPS, STAGES = 64, 128, 8, 2
BLOCK_RANK = 16  # the least that tl.dot takes; higher ranks go round
PRECISION = "ieee"  # of products of float32 factors; tf32 keeps 10 of 23 bits


def merge(golden: Tensor, updates: Sequence[Update], out: Tensor) -> None:
    """out [out, in] = golden, plus scale * b @ a in the rows of each update.

    A sum is taken in float32 and rounded once to golden's type. a [r, in], b [rows, r]:
    each of its own type, whose products are exact in float32 but for float32's own.
    Raises ValueError for updates whose rows overlap.
    """
    done = 0
    for rows, a, b, scale in sorted(updates, key=lambda update: update[0].start):
        if rows.start < done:
            raise ValueError(f"two updates of row {rows.start}")
        _copy(golden, out, slice(done, rows.start))
        _launch(golden[rows], a, b, scale, out[rows])
        done = rows.stop
    _copy(golden, out, slice(done, len(golden)))


def _copy(golden: Tensor, out: Tensor, rows: slice) -> None:
    if rows.start < rows.stop:
        out[rows].copy_(golden[rows], non_blocking=True)


def _launch(golden: Tensor, a: Tensor, b: Tensor, scale: float, out: Tensor) -> None:
    rows, columns = golden.shape
    grid = (triton.cdiv(columns, BLOCK_COLUMNS), triton.cdiv(rows, BLOCK_ROWS))
    _merge[grid](
        golden,
        a,
        b,
        out,
        float(scale),
        rows,
        columns,
        len(a),
        golden.stride(0),
        a.stride(0),
        b.stride(0),
        out.stride(0),
        ROWS=BLOCK_ROWS,
        COLUMNS=BLOCK_COLUMNS,
        RANK=BLOCK_RANK,
        PRECISION=PRECISION,
        num_warps=WARPS,
        num_stages=STAGES,
    )


@triton.jit
def _merge(
    golden,
    a,
    b,
    out,
    scale,
    rows,
    columns,
    rank,
    golden_stride,
    a_stride,
    b_stride,
    out_stride,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RANK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    row = tl.program_id(1).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    inside = (row < rows) & (column < columns)
    weight = tl.load(golden + row * golden_stride + column, mask=inside, other=0.0)

    update = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, rank, RANK):
        k = start + tl.arange(0, RANK)
        b_mask = (row < rows) & (k[None, :] < rank)
        a_mask = (k[:, None] < rank) & (column < columns)
        b_block = tl.load(b + row * b_stride + k[None, :], mask=b_mask, other=0.0)
        a_block = tl.load(a + k[:, None] * a_stride + column, mask=a_mask, other=0.0)
        if a_block.dtype != b_block.dtype:
            a_block, b_block = a_block.to(tl.float32), b_block.to(tl.float32)
        update = tl.dot(b_block, a_block, update, input_precision=PRECISION)

    merged = weight.to(tl.float32) + scale * update
    tl.store(
        out + row * out_stride + column, merged.to(out.dtype.element_ty), mask=inside
    )
