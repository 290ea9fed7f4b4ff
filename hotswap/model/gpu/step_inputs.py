"""StepInputs: what a step computes, as tables of int32 that its kernels read.

Written with numpy in bulk: a Python loop over 256 rows for each table would take longer
than the device takes for the step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from hotswap.model.gpu import attention_table
from hotswap.model.gpu.attention_table import blocks_for, most_tiles
from hotswap.model.gpu.buckets import Bucket
from hotswap.model.network.rows import BLOCK_TOKENS, Row


@dataclass(frozen=True, slots=True)
class StepRows:
    """The rows of a step in numbers: one entry for each row, all int32."""

    block_table: np.ndarray  # as an AttentionTable's, without what lies behind
    positions: np.ndarray
    counts: np.ndarray  # tokens
    ids: np.ndarray  # of all tokens, flat; 0 where the token is still in the air
    pending: np.ndarray  # place among the last step's sampled tokens; -1: none
    wants_logits: np.ndarray  # bool

    @property
    def is_decode(self) -> bool:
        return len(self.ids) == len(self.counts) and bool(self.wants_logits.all())


def step_rows(rows: Sequence[Row], sampled_at: Mapping[int, int]) -> StepRows:
    """`sampled_at`: by job, where the last step sampled its token; KeyError if a row
    waits for a token that was never sampled. ValueError if a row's blocks do not reach
    as far as it writes."""
    tokens = [row.tokens for row in rows]
    pending = np.full(len(rows), -1, np.int32)
    if None in tokens:
        for index, row in enumerate(rows):
            if row.tokens is None:
                pending[index] = sampled_at[row.job]
    known = [(0,) if ids is None else ids for ids in tokens]
    positions = np.array([row.position for row in rows], np.int32)
    counts = np.array(list(map(len, known)), np.int32)
    return StepRows(
        block_table=_block_table(rows, positions + counts),
        positions=positions,
        counts=counts,
        ids=np.array(list(chain.from_iterable(known)), np.int32),
        pending=pending,
        wants_logits=np.array([row.wants_logits for row in rows], bool),
    )


def _block_table(rows: Sequence[Row], ends: np.ndarray) -> np.ndarray:
    """[blocks] int32. No view of a row's own blocks stays: the scheduler lets them
    grow, and Python lets no array grow that somebody looks into."""
    needed = blocks_for(ends)
    parts = [
        row.blocks[:count] for row, count in zip(rows, needed.tolist(), strict=True)
    ]
    found = np.frombuffer(b"".join(parts), np.int32)
    if len(found) != needed.sum():
        raise ValueError("a row's blocks do not reach as far as it writes")
    return found


def shapes_of(bucket: Bucket, tile_rows: int) -> dict[str, tuple[int, ...]]:
    """The fields of a step, those of its AttentionTable among them, but for its
    `block_table`."""
    tokens, sequences = (bucket.tokens,), (bucket.sequences,)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
        ("ids", "source", "positions", "write"), tokens
    )
    shapes |= dict.fromkeys(("offset", "seen", "first", "count"), sequences)
    if bucket.kind == "decode":
        return shapes
    tiles = most_tiles(bucket.tokens, bucket.sequences, tile_rows)
    return {**shapes, "last": sequences, "tiles": (tiles, 2)}


def fill(into: Mapping[str, np.ndarray], rows: StepRows, tile_rows: int) -> None:
    """Write a step into the fields of its bucket: all of each, but of `block_table`
    only what is used. Unused rows write nothing."""
    counts, table = rows.counts, rows.block_table
    attention_table.fill(into, table, rows.positions, counts, tile_rows)
    offset = into["offset"][: len(counts)]
    positions, source = rows.positions, rows.pending
    if len(rows.ids) != len(counts):
        first = np.cumsum(counts) - counts
        # Of each token: how far it stands behind its row's first one
        behind = np.arange(len(rows.ids)) - np.repeat(first, counts)
        positions = np.repeat(positions, counts) + behind
        offset = np.repeat(offset, counts)
        source = np.repeat(source, counts)
    place, within = np.divmod(positions, BLOCK_TOKENS)
    put(into["ids"], rows.ids, 0)
    put(into["source"], source, -1)
    put(into["positions"], positions, 0)
    put(into["write"], table[offset + place] * BLOCK_TOKENS + within, -1)
    if "last" in into:
        put(into["last"], (np.cumsum(counts) - 1)[rows.wants_logits], 0)


def put(field: np.ndarray, values: np.ndarray, rest: int) -> None:
    """Write `values`, and `rest` behind them. Mutates all of the field."""
    field[: len(values)] = values
    field[len(values) :] = rest
