"""AttentionTable: every row of a step is in one tile, the longest tiles first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.model.gpu.attention_table import fill, most_tiles, tile_rows
from hotswap.model.network.rows import BLOCK_TOKENS

SEQUENCES = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 90)), min_size=1, max_size=8
)


def filled(
    sequences: list[tuple[int, int]], rows: int, room: int
) -> dict[str, np.ndarray]:
    names = ("offset", "seen", "first", "count")
    fields = {name: np.full(len(sequences) + 2, 99, np.int32) for name in names}
    fields["tiles"] = np.full((room, 2), 99, np.int32)
    positions, counts = (np.array(c, np.int32) for c in zip(*sequences, strict=True))
    blocks = [-(-sum(each) // BLOCK_TOKENS) for each in sequences]
    fields["block_table"] = np.full(sum(blocks) + 2, 99, np.int32)
    table = np.repeat(np.arange(len(blocks)), blocks).astype(np.int32)
    fill(fields, table, positions, counts, rows)
    return fields


@given(SEQUENCES, st.sampled_from([1, 2, 8, 16, 64]))
def test_every_row_is_in_exactly_one_tile(
    sequences: list[tuple[int, int]], rows: int
) -> None:
    tokens = sum(count for _, count in sequences)
    fields = filled(sequences, rows, most_tiles(tokens, len(sequences), rows))

    covered = [
        (sequence, offset + row)
        for sequence, offset in fields["tiles"]
        if sequence >= 0
        for row in range(rows)
        if offset + row < fields["count"][sequence]
    ]
    every = [(s, row) for s, (_, count) in enumerate(sequences) for row in range(count)]
    assert sorted(covered) == every


@given(SEQUENCES)
def test_a_sequence_s_rows_and_blocks_lie_behind_those_of_the_one_before(
    sequences: list[tuple[int, int]],
) -> None:
    fields = filled(sequences, 16, 100)

    row = 0
    for index, (position, count) in enumerate(sequences):
        assert fields["first"][index] == row
        assert fields["count"][index] == count
        assert fields["seen"][index] == position + count
        blocks = -(-(position + count) // BLOCK_TOKENS)
        begin = fields["offset"][index]
        assert list(fields["block_table"][begin : begin + blocks]) == [index] * blocks
        row += count
    assert list(fields["seen"][len(sequences) :]) == [0, 0]
    assert list(fields["count"][len(sequences) :]) == [0, 0]
    assert list(fields["block_table"][-2:]) == [99, 99], "what was not sent stays"


@given(SEQUENCES)
def test_tiles_with_more_keys_begin_earlier_and_unused_ones_last(
    sequences: list[tuple[int, int]],
) -> None:
    tiles = filled(sequences, 16, 100)["tiles"]

    used = [(s, offset) for s, offset in tiles if s >= 0]
    keys = [sequences[s][0] + offset for s, offset in used]
    assert keys == sorted(keys, reverse=True)
    assert (tiles[len(used) :] == -1).all()


@pytest.mark.parametrize(
    ("heads", "kv_heads", "rows"),
    [(8, 8, 64), (6, 2, 16), (32, 8, 16), (28, 4, 8), (64, 8, 8), (71, 1, 1)],
)
def test_a_tile_s_rows_and_heads_fill_one_tile(
    heads: int, kv_heads: int, rows: int
) -> None:
    assert tile_rows(heads, kv_heads) == rows
