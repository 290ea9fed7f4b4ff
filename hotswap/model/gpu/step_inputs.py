"""StepInputs: what a step computes, as tables of int32 that its kernels read.

Written with numpy in bulk: a Python loop over 256 rows for each table would take longer
than the device takes for the step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from hotswap.model.gpu import attention_table
from hotswap.model.gpu.attention_table import most_blocks
from hotswap.model.gpu.buckets import Bucket
from hotswap.model.network.rows import Row


@dataclass(frozen=True, slots=True)
class StepRows:
    """The rows of a step in numbers: one entry for each row, all int32."""

    starts: np.ndarray  # arena row of the position 0 of its sequence
    positions: np.ndarray
    counts: np.ndarray  # tokens
    ids: np.ndarray  # of all tokens, flat; 0 where the token is still in the air
    pending: np.ndarray  # place among the last step's sampled tokens; -1: none
    wants_logits: np.ndarray  # bool

    @property
    def is_decode(self) -> bool:
        return len(self.ids) == len(self.counts) and bool(self.wants_logits.all())


def step_rows(
    rows: Sequence[Row], starts: Sequence[int], sampled_at: Mapping[int, int]
) -> StepRows:
    """`starts`: of each row. `sampled_at`: by job, where the last step sampled its
    token; KeyError if a row waits for a token that was never sampled."""
    tokens = [row.tokens for row in rows]
    pending = np.full(len(rows), -1, np.int32)
    if None in tokens:
        for index, row in enumerate(rows):
            if row.tokens is None:
                pending[index] = sampled_at[row.job]
    known = [(0,) if ids is None else ids for ids in tokens]
    return StepRows(
        starts=np.array(starts, np.int32),
        positions=np.array([row.position for row in rows], np.int32),
        counts=np.array(list(map(len, known)), np.int32),
        ids=np.array(list(chain.from_iterable(known)), np.int32),
        pending=pending,
        wants_logits=np.array([row.wants_logits for row in rows], bool),
    )


def shapes_of(bucket: Bucket, block_rows: int) -> dict[str, tuple[int, ...]]:
    """The fields of a step, those of its AttentionTable among them."""
    tokens, sequences = (bucket.tokens,), (bucket.sequences,)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
        ("ids", "source", "positions", "write"), tokens
    )
    shapes |= dict.fromkeys(("starts", "seen", "first", "count"), sequences)
    if bucket.kind == "decode":
        return shapes
    blocks = most_blocks(bucket.tokens, bucket.sequences, block_rows)
    return {**shapes, "last": sequences, "blocks": (blocks, 2)}


def fill(into: Mapping[str, np.ndarray], rows: StepRows, block_rows: int) -> None:
    """Write a step into the fields of its bucket, all of each. Unused rows write
    nothing."""
    counts = rows.counts
    if len(rows.ids) == len(counts):
        positions, starts, source = rows.positions, rows.starts, rows.pending
    else:
        first = np.cumsum(counts) - counts
        # Of each token: how far it stands behind its row's first one
        behind = np.arange(len(rows.ids)) - np.repeat(first, counts)
        positions = np.repeat(rows.positions, counts) + behind
        starts = np.repeat(rows.starts, counts)
        source = np.repeat(rows.pending, counts)
    put(into["ids"], rows.ids, 0)
    put(into["source"], source, -1)
    put(into["positions"], positions, 0)
    put(into["write"], starts + positions, -1)
    attention_table.fill(into, rows.starts, rows.positions, counts, block_rows)
    if "last" in into:
        put(into["last"], (np.cumsum(counts) - 1)[rows.wants_logits], 0)


def put(field: np.ndarray, values: np.ndarray, rest: int) -> None:
    """Write `values`, and `rest` behind them. Mutates all of the field."""
    field[: len(values)] = values
    field[len(values) :] = rest
