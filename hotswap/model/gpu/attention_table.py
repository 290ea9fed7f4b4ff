"""AttentionTable: which rows of a step attend to which part of the KV. No Triton here.

A sequence lies in the arena in one piece: its position p is row `start + p`. Its rows
of a step are consecutive, too, and are its newest positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

# Query rows times the query heads of one KV head that one program multiplies at once:
# the height of Hopper's matrix instruction for a group of four warps.
_TILE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttentionTable:
    """Tensors of a step: int32, contiguous, on the device, of shapes that depend on its
    bucket alone. Their contents change from step to step."""

    starts: Tensor
    """[sequences]: arena row of the sequence's position 0"""
    seen: Tensor
    """[sequences]: its tokens in the KV, this step's included; 0: an unused entry"""
    first: Tensor
    """[sequences]: the row of q that is its first in this step"""
    count: Tensor
    """[sequences]: its rows in this step"""
    blocks: Tensor | None = None
    """[blocks, 2]: (sequence, how far behind the sequence's first row the block
    begins), sequence -1: unused. None: every sequence has one row (decode)"""


def block_rows(heads: int, kv_heads: int) -> int:
    """The rows of one entry of `blocks`: as many as fill a tile together with the query
    heads that share a KV head (FlashAttention packs them so), a power of two."""
    group = heads // kv_heads
    return max(1, 1 << (_TILE // group).bit_length() >> 1)


def most_blocks(tokens: int, sequences: int, rows: int) -> int:
    """Entries that suffice for any step of so many tokens and sequences."""
    return min(tokens, tokens // rows + sequences)


def fill(
    into: Mapping[str, np.ndarray],
    starts: np.ndarray,
    positions: np.ndarray,
    counts: np.ndarray,
    rows: int,
) -> None:
    """Write a step into the host's side of an AttentionTable: its fields by name.

    starts, positions, counts: int32, an entry for each sequence in the order of the
    rows of q; position: its tokens in the KV before this step. Mutates all of each
    field. Without `blocks` in `into` each count must be 1. `rows`: see `block_rows`.
    """
    _put(into["starts"], starts, 0)
    _put(into["seen"], positions + counts, 0)
    _put(into["first"], np.cumsum(counts) - counts, 0)
    _put(into["count"], counts, 0)
    if "blocks" in into:
        _put(into["blocks"], _blocks(positions, counts, rows), -1)


def _blocks(positions: np.ndarray, counts: np.ndarray, rows: int) -> np.ndarray:
    """Those with the most keys first: they take longest, and blocks start in order."""
    blocks = -(-counts // rows)
    sequence = np.repeat(np.arange(len(counts)), blocks)
    before = np.repeat(np.cumsum(blocks) - blocks, blocks)
    offset = (np.arange(len(sequence)) - before) * rows
    order = np.argsort(-(positions[sequence] + offset), kind="stable")
    return np.stack((sequence, offset), axis=1)[order]


def _put(field: np.ndarray, values: np.ndarray, rest: int) -> None:
    field[: len(values)] = values
    field[len(values) :] = rest
