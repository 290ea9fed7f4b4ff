"""LoraTable: which pages each block of a mixed step's rows multiplies. int32.

A block is up to 16 rows of one adapter, as high as a tensor core's product. All tables
of one size have one layout, so a captured graph finds each number where it was:

    [0]                      blocks in use; three numbers of padding follow
    [4 : 4 + pages]          the page list: those of one adapter side by side
    then for each block, the ones in use first:
        [0]                  its adapter's pages; 0: an unused block
        [1]                  the first of them
        [2]                  where in the page list they begin
        [3]                  its first *item*: what `shrink` makes of one page
        [4 : 20]             its rows of the step, -1 for none

Blocks come in the order of the adapters' keys, rows in that of the step: the table
depends on the batch and on where pages lie, and what is computed on the batch alone.
(As vLLM's LoRAKernelMeta sorts tokens by adapter; blocks with rows of their own spare
the kernels a search.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

BLOCK_ROWS = 16
PAGE_RANK = 16
MOST_PAGES = 32  # of one adapter: rank 512
PAGES_AT = 4  # where the page list begins
ENTRY = 4 + BLOCK_ROWS  # numbers of a block


@dataclass(frozen=True, slots=True)
class TableShape:
    """Of the table for a step of `rows`, whoever they are, over a pool of `pages`."""

    rows: int
    pages: int

    @property
    def blocks_at(self) -> int:
        """Where the blocks begin: at a multiple of four."""
        return PAGES_AT + -(-self.pages // 4) * 4

    @property
    def blocks(self) -> int:
        """The most that rows can make: each adapter begins a block of its own."""
        adapters = min(self.rows, self.pages)
        return (self.rows + (BLOCK_ROWS - 1) * adapters) // BLOCK_ROWS

    @property
    def items(self) -> int:
        """The most pairs of a block and a page of its adapter."""
        most = min(self.pages, MOST_PAGES)
        by_rows = (most * self.rows + (BLOCK_ROWS - 1) * self.pages) // BLOCK_ROWS
        return min(by_rows, most * self.blocks)

    @property
    def size(self) -> int:
        """Numbers in the table."""
        return self.blocks_at + ENTRY * self.blocks


@dataclass(frozen=True, slots=True, eq=False)
class LoraTable:
    """A table where the model computes. `data` [shape.size] int32, never moved."""

    shape: TableShape
    data: torch.Tensor


def lora_table(
    owners: Sequence[str], pages: Mapping[str, Sequence[int]], shape: TableShape
) -> npt.NDArray[np.int32]:
    """[shape.size]. `owners`: a key for each row, "" for nobody, rows beyond them are
    nobody's; `pages`: of each adapter. Raises KeyError for one that has none."""
    table = np.zeros(shape.size, np.int32)
    entries = table[shape.blocks_at :].reshape(shape.blocks, ENTRY)
    entries[:, 4:] = -1
    keys = sorted(set(owners) - {""})
    if not keys:
        return table
    number = {key: n for n, key in enumerate(keys)}
    number[""] = -1
    who = np.array([number[owner] for owner in owners], np.int64)
    order = np.argsort(who, kind="stable")[np.count_nonzero(who < 0) :]
    who = who[order]

    rows_of = np.bincount(who)
    blocks_of = -(-rows_of // BLOCK_ROWS)
    pages_of = np.array([len(pages[key]) for key in keys], np.int64)
    listed = np.array([page for key in keys for page in pages[key]], np.int32)
    list_at = _starts(pages_of)
    table[PAGES_AT : PAGES_AT + len(listed)] = listed

    adapter = np.repeat(np.arange(len(keys)), blocks_of)  # of each block
    table[0] = used = len(adapter)
    entries[:used, 0] = pages_of[adapter]
    entries[:used, 1] = listed[list_at[adapter]]
    entries[:used, 2] = list_at[adapter]
    entries[:used, 3] = _starts(pages_of[adapter])
    place = np.arange(len(who)) - _starts(rows_of)[who]  # among its adapter's rows
    block = _starts(blocks_of)[who] + place // BLOCK_ROWS
    entries[block, 4 + place % BLOCK_ROWS] = order
    return table


def _starts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each begins if they lie one after the other."""
    return np.cumsum(counts) - counts
