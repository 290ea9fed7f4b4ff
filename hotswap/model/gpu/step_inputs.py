"""StepInputs: what a step computes, as tables of int32 that its kernels read.

Written with numpy in bulk: a Python loop over 256 rows for each table would take longer
than the device takes for the step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from hotswap.model.gpu.buckets import Bucket
from hotswap.model.network.rows import Row

Arrays = Mapping[str, np.ndarray]


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
    """The fields of a step. `blocks` only for ragged ones: `AttentionTable` says what
    its fields are."""
    tokens, sequences = (bucket.tokens,), (bucket.sequences,)
    per_token = dict.fromkeys(("ids", "source", "positions", "write"), tokens)
    per_sequence = dict.fromkeys(("starts", "seen", "first", "count"), sequences)
    shapes = {**per_token, **per_sequence}
    if bucket.kind == "ragged":
        most = -(-bucket.tokens // block_rows) + bucket.sequences
        shapes |= {"last": sequences, "blocks": (most, 2)}
    return shapes


def fill(into: Arrays, rows: StepRows, block_rows: int) -> None:
    """Write a step into the fields of its bucket, all of each."""
    tokens, sequences = len(rows.ids), len(rows.counts)
    first = np.cumsum(rows.counts, dtype=np.int32) - rows.counts
    if tokens == sequences:
        positions, starts, source = rows.positions, rows.starts, rows.pending
    else:
        # Of each token: how far it stands behind its row's first one
        behind = np.arange(tokens, dtype=np.int32) - np.repeat(first, rows.counts)
        positions = np.repeat(rows.positions, rows.counts) + behind
        starts = np.repeat(rows.starts, rows.counts)
        source = np.repeat(rows.pending, rows.counts)
    _put(into["ids"], rows.ids, 0)
    _put(into["source"], source, -1)
    _put(into["positions"], positions, 0)
    _put(into["write"], starts + positions, -1)
    _put(into["starts"], rows.starts, 0)
    _put(into["seen"], rows.positions + rows.counts, 0)
    _put(into["first"], first, 0)
    _put(into["count"], rows.counts, 0)
    if "last" in into:
        _put(into["last"], (first + rows.counts - 1)[rows.wants_logits], 0)
        _put(into["blocks"], _blocks(rows.counts, block_rows), -1)


def _blocks(counts: np.ndarray, block_rows: int) -> np.ndarray:
    """[blocks, 2]: the sequence of each, and how far behind its first row it begins."""
    blocks = -(-counts // block_rows)
    sequence = np.repeat(np.arange(len(counts)), blocks)
    before = np.repeat(np.cumsum(blocks) - blocks, blocks)
    offset = (np.arange(len(sequence)) - before) * block_rows
    return np.stack((sequence, offset), axis=1)


def _put(field: np.ndarray, values: np.ndarray, rest: int) -> None:
    field[: len(values)] = values
    field[len(values) :] = rest
