"""AttentionTable: which rows of a step attend to which part of the KV. No Triton here.

A sequence lies in the arena in blocks, anywhere: its position p is row `block *
BLOCK_TOKENS + p % BLOCK_TOKENS` of its block number `p // BLOCK_TOKENS`. Its rows of a
step are consecutive and are its newest positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hotswap.model.network.rows import BLOCK_TOKENS

# Query rows times the query heads of one KV head that one program multiplies at once:
# the height of Hopper's matrix instruction for a group of four warps.
_TILE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttentionTable:
    """Tensors of a step: int32, contiguous, on the device, of shapes that depend on its
    bucket alone. Their contents change from step to step."""

    block_table: Tensor
    """[room]: the blocks of one sequence behind those of the other, as many of each as
    its `seen` tokens take. Behind the last one lies anything: nobody reads it"""
    offset: Tensor
    """[sequences]: where in `block_table` the sequence's blocks begin"""
    seen: Tensor
    """[sequences]: its tokens in the KV, this step's included; 0: an unused entry"""
    first: Tensor
    """[sequences]: the row of q that is its first in this step"""
    count: Tensor
    """[sequences]: its rows in this step"""
    tiles: Tensor | None = None
    """[tiles, 2]: (sequence, how far behind the sequence's first row the tile begins),
    sequence -1: unused. None: every sequence has one row (decode)"""


def tile_rows(heads: int, kv_heads: int) -> int:
    """The rows of one entry of `tiles`: as many as fill a tile together with the query
    heads that share a KV head (FlashAttention packs them so), a power of two."""
    group = heads // kv_heads
    return max(1, 1 << (_TILE // group).bit_length() >> 1)


def most_tiles(tokens: int, sequences: int, rows: int) -> int:
    """Entries that suffice for any step of so many tokens and sequences."""
    return min(tokens, tokens // rows + sequences)


def blocks_for(tokens: np.ndarray) -> np.ndarray:
    """How many blocks hold so many tokens of a sequence."""
    return -(-tokens // BLOCK_TOKENS)


def fill(
    into: Mapping[str, np.ndarray],
    block_table: np.ndarray,
    positions: np.ndarray,
    counts: np.ndarray,
    rows: int,
) -> None:
    """Write a step into the host's side of an AttentionTable: its fields by name.

    block_table: int32, as the field, without what lies behind. positions, counts:
    int32, an entry for each sequence in the order of the rows of q; position: its
    tokens in the KV before this step. Mutates all of each field, but for the rest of
    `block_table`. Without `tiles` in `into` each count must be 1. `rows`: see
    `tile_rows`.
    """
    seen = positions + counts
    blocks = blocks_for(seen)
    into["block_table"][: len(block_table)] = block_table
    _put(into["offset"], np.cumsum(blocks) - blocks, 0)
    _put(into["seen"], seen, 0)
    _put(into["first"], np.cumsum(counts) - counts, 0)
    _put(into["count"], counts, 0)
    if "tiles" in into:
        _put(into["tiles"], _tiles(positions, counts, rows), -1)


def _tiles(positions: np.ndarray, counts: np.ndarray, rows: int) -> np.ndarray:
    """Those with the most keys first: they take longest, and tiles start in order."""
    tiles = -(-counts // rows)
    sequence = np.repeat(np.arange(len(counts)), tiles)
    before = np.repeat(np.cumsum(tiles) - tiles, tiles)
    offset = (np.arange(len(sequence)) - before) * rows
    order = np.argsort(-(positions[sequence] + offset), kind="stable")
    return np.stack((sequence, offset), axis=1)[order]


def _put(field: np.ndarray, values: np.ndarray, rest: int) -> None:
    field[: len(values)] = values
    field[len(values) :] = rest
