"""`shrink` and `expand_add`: what each row's own adapter adds to a layer's output.

    h = x A^T         one program for a block of 16 rows, a part and a slice of `in`
    y += h B          one for a tile of `out`, which sums the slices in their order

A block has rows of one adapter alone (`lora_table`). Nothing is added atomically and
how `in` is sliced depends on `in` alone: a row's result depends neither on the other
rows of the step nor on where its adapter's pages lie. Products are exact, sums float32;
h is rounded to the weights' type between the two, as tensor cores want it, y once.

The two steps and their grids are those of Punica's SGMV (arXiv:2310.18547) and of
vLLM's `lora_shrink` and `lora_expand` in Triton; vLLM's adds the slices atomically.

Not yet run on a GPU.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from hotswap.model.gpu.lora_table import (
    BLOCK_ROWS,
    ENTRY,
    PAGE_RANK,
    PAGES_AT,
    LoraTable,
)

ROWS = tl.constexpr(BLOCK_ROWS)
RANK = tl.constexpr(PAGE_RANK)
LIST = tl.constexpr(PAGES_AT)
NUMBERS = tl.constexpr(ENTRY)

# Columns of `in` for a program: enough programs for one block to reach the memory's
# speed, few enough slices for `expand_add` to sum.
_SLICE = 512
_MOST_SLICES = 16
_GROUPS = 32  # of blocks; programs beyond them would mostly find nothing to do


def shrink(x: torch.Tensor, a_pool: torch.Tensor, table: LoraTable) -> torch.Tensor:
    """x [n, in], a_pool [pages, parts * 16, in] -> [items, slices, parts, 16, 16] f32:
    of each block and page the block's rows times the page's ranks. What no block of the
    table has is undefined."""
    columns, parts = x.shape[1], a_pool.shape[1] // PAGE_RANK
    assert a_pool.is_contiguous()
    assert x.stride(1) == 1
    wide, slices = _slices(columns)
    h = torch.empty(
        (table.shape.items, slices, parts, BLOCK_ROWS, PAGE_RANK),
        dtype=torch.float32,
        device=x.device,
    )
    _shrink[(table.shape.blocks, slices, parts)](
        x,
        a_pool,
        table.data,
        h,
        columns,
        x.stride(0),
        table.shape.blocks_at,
        WIDE=wide,
        COLUMNS=64 if x.dtype is torch.float32 else 128,
        PRECISION="ieee" if x.dtype is torch.float32 else "tf32",
        num_warps=4,
        num_stages=4,
    )
    return h


def expand_add(
    h: torch.Tensor,
    b_pool: torch.Tensor,
    table: LoraTable,
    y: torch.Tensor,
    ends: Sequence[int],
) -> torch.Tensor:
    """y [n, out] with h B added, rounded once. Mutates `y`, the rows of blocks alone.

    b_pool [pages, 16, out]. `ends`: the column where each part ends; up to three.
    """
    _, slices, parts, _, _ = h.shape
    assert h.is_contiguous()
    assert b_pool.is_contiguous()
    assert y.stride(1) == 1
    assert parts == len(ends) <= 3
    assert ends[-1] == y.shape[1] == b_pool.shape[2]
    # Where there are many blocks each tile is wider: it reads the slices less often.
    wide = 128 if table.shape.blocks <= _GROUPS else 256
    starts = [0, *ends[:-1]]
    tiles = sum(
        triton.cdiv(end - start, wide) for start, end in zip(starts, ends, strict=True)
    )
    last = ends[-1]
    _expand_add[(tiles, min(table.shape.blocks, _GROUPS))](
        h,
        b_pool,
        table.data,
        y,
        last,
        ends[0],
        ends[1] if parts > 1 else last,
        y.stride(0),
        table.shape.blocks_at,
        SLICES=slices,
        PARTS=parts,
        COLUMNS=wide,
        PRECISION="ieee" if y.dtype is torch.float32 else "tf32",
        num_warps=4,
        num_stages=2,
    )
    return y


def _slices(columns: int) -> tuple[int, int]:
    """(columns of a slice, slices), from the width of the layer's input alone."""
    slices = min(triton.cdiv(columns, _SLICE), _MOST_SLICES)
    wide = triton.cdiv(triton.cdiv(columns, slices), 128) * 128
    return wide, triton.cdiv(columns, wide)


@triton.jit
def _shrink(
    x,
    a_pool,
    table,
    h,
    columns,
    x_stride,
    blocks_at,
    WIDE: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    entry = table + blocks_at + tl.program_id(0) * NUMBERS
    cut, slices = tl.program_id(1), tl.num_programs(1)
    part, parts = tl.program_id(2), tl.num_programs(2)
    pages = tl.load(entry)
    if pages == 0:
        return
    page = tl.load(entry + 1)
    listed = table + LIST + tl.load(entry + 2)
    item = tl.load(entry + 3)
    lanes, ranks = tl.arange(0, ROWS), tl.arange(0, RANK)
    rows = tl.load(entry + 4 + lanes)
    x_rows = x + rows.to(tl.int64)[:, None] * x_stride
    for n in range(pages):
        # The next page's number comes while this page is multiplied.
        following = tl.load(listed + n + 1, mask=n + 1 < pages, other=0)
        top = (page.to(tl.int64) * parts + part) * RANK
        a_rows = a_pool + (top + ranks)[None, :] * columns
        total = tl.zeros((ROWS, RANK), dtype=tl.float32)
        for begin in range(0, WIDE, COLUMNS):
            at = cut * WIDE + begin + tl.arange(0, COLUMNS)
            within = at < columns
            ours = (rows >= 0)[:, None] & within[None, :]
            x_tile = tl.load(x_rows + at[None, :], mask=ours, other=0.0)
            a_tile = tl.load(a_rows + at[:, None], mask=within[:, None], other=0.0)
            total = tl.dot(x_tile, a_tile, total, input_precision=PRECISION)
        tile = ((item + n) * slices + cut) * parts + part
        h_tile = h + tile.to(tl.int64) * (ROWS * RANK)
        tl.store(h_tile + lanes[:, None] * RANK + ranks[None, :], total)
        page = following


@triton.jit
def _expand_add(
    h,
    b_pool,
    table,
    y,
    out,
    end_0,
    end_1,
    y_stride,
    blocks_at,
    SLICES: tl.constexpr,
    PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    part, start, stop = _part_of(tl.program_id(0), end_0, end_1, out, PARTS, COLUMNS)
    at = start + tl.arange(0, COLUMNS)
    within = at < stop
    lanes, ranks = tl.arange(0, ROWS), tl.arange(0, RANK)
    in_h = lanes[:, None] * RANK + ranks[None, :]
    b_columns = b_pool + ranks[:, None] * out + at[None, :]
    for block in range(tl.program_id(1), tl.load(table), tl.num_programs(1)):
        entry = table + blocks_at + block * NUMBERS
        pages, page = tl.load(entry), tl.load(entry + 1)
        listed = table + LIST + tl.load(entry + 2)
        item = tl.load(entry + 3)
        rows = tl.load(entry + 4 + lanes)
        target = y + rows.to(tl.int64)[:, None] * y_stride + at[None, :]
        ours = (rows >= 0)[:, None] & within[None, :]
        old = tl.load(target, mask=ours, other=0.0)
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for n in range(pages):
            following = tl.load(listed + n + 1, mask=n + 1 < pages, other=0)
            b_page = b_columns + page.to(tl.int64) * (RANK * out)
            b_tile = tl.load(b_page, mask=within[None, :], other=0.0)
            summed = tl.zeros((ROWS, RANK), dtype=tl.float32)
            for cut in tl.static_range(SLICES):
                tile = ((item + n) * SLICES + cut) * PARTS + part
                summed += tl.load(h + tile.to(tl.int64) * (ROWS * RANK) + in_h)
            total = tl.dot(
                summed.to(b_tile.dtype), b_tile, total, input_precision=PRECISION
            )
            page = following
        new = (old.to(tl.float32) + total).to(old.dtype)
        tl.store(target, new, mask=ours)


@triton.jit
def _part_of(tile, end_0, end_1, out, PARTS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of a tile of the output: its part, its first column and where its part ends. No
    tile has columns of two parts."""
    part = tile * 0
    start = tile * COLUMNS
    stop = end_0
    if PARTS > 1:
        first = tl.cdiv(end_0, COLUMNS)  # tiles of the first part
        if tile >= first:
            part += 1
            start = end_0 + (tile - first) * COLUMNS
            stop = end_1
    if PARTS > 2:
        second = tl.cdiv(end_0, COLUMNS) + tl.cdiv(end_1 - end_0, COLUMNS)
        if tile >= second:
            part += 1
            start = end_1 + (tile - second) * COLUMNS
            stop = out
    return part, start, stop
