"""`shrink` and `expand_add` in plain torch, read off the table block by block.

What the kernels are compared with, and what the executor's tests compute with. Sums in
float32, one rounding, h in the weights' type before the second product, as the kernels.
"""

from collections.abc import Iterator, Sequence

import torch

from hotswap.model.gpu.lora_table import (
    BLOCK_ROWS,
    ENTRY,
    PAGE_RANK,
    PAGES_AT,
    LoraTable,
)


def blocks_in_use(
    table: LoraTable,
) -> Iterator[tuple[list[int], list[int], int]]:
    """For each block its rows, its adapter's pages and its first item."""
    data, shape = table.data.tolist(), table.shape
    for block in range(data[0]):
        at = shape.blocks_at + ENTRY * block
        pages, first, start, item = data[at : at + 4]
        start += PAGES_AT
        assert data[start] == first
        rows = [row for row in data[at + 4 : at + ENTRY] if row >= 0]
        yield rows, data[start : start + pages], item


def shrink(x: torch.Tensor, a_pool: torch.Tensor, table: LoraTable) -> torch.Tensor:
    """[items, splits, parts, 16 rows, 16 ranks] float32, here with one split."""
    parts = a_pool.shape[1] // PAGE_RANK
    shape = (table.shape.items, 1, parts, BLOCK_ROWS, PAGE_RANK)
    h = torch.full(shape, torch.nan, device=x.device)
    for rows, pages, item in blocks_in_use(table):
        for n, page in enumerate(pages):
            made = x[rows].float() @ a_pool[page].float().t()
            h[item + n, 0] = 0
            h[item + n, 0, :, : len(rows)] = made.view(
                len(rows), parts, PAGE_RANK
            ).movedim(1, 0)
    return h


def expand_add(
    h: torch.Tensor,
    b_pool: torch.Tensor,
    table: LoraTable,
    y: torch.Tensor,
    ends: Sequence[int],
) -> torch.Tensor:
    """`y` [n, out], with h B added in place."""
    for rows, pages, item in blocks_in_use(table):
        for part, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            total = torch.zeros(len(rows), stop - start, device=y.device)
            for n, page in enumerate(pages):
                ranks = h[item + n, :, part, : len(rows)].sum(0)
                b = b_pool[page, :, start:stop]
                total += ranks.to(b.dtype).float() @ b.float()
            y[rows, start:stop] = (y[rows, start:stop].float() + total).to(y.dtype)
    return y
