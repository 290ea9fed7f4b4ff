"""A step's tables say what its rows say, whatever was in the buffers before."""

import time
from array import array
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hotswap.model.gpu.buckets import Bucket, bucket_of, graphed_buckets, room_for
from hotswap.model.gpu.staging import Staging, words_of
from hotswap.model.gpu.step_inputs import fill, shapes_of, step_rows
from hotswap.model.machine.device import Host
from hotswap.model.network.rows import BLOCK_TOKENS, Row

TILE = 4  # rows
MOST = 256

tokens = st.one_of(st.none(), st.lists(st.integers(0, 99), min_size=1, max_size=9))
drawn = st.tuples(tokens, st.integers(0, 50), st.booleans())


def row(job: int, ids: list[int] | None, position: int, wants: bool = True) -> Row:
    """Its blocks, more than it needs, go down from 1000 times the job."""
    first = 1000 * (job + 1)
    return Row(
        job=job,
        tokens=ids,
        position=position,
        generation=None,
        wants_logits=wants,
        blocks=array("i", range(first, first - 9, -1)),
    )


def arena_row(row: Row, position: int) -> int:
    block, within = divmod(position, BLOCK_TOKENS)
    return (1000 * (row.job + 1) - block) * BLOCK_TOKENS + within


def tables(rows: list[Row]) -> tuple[Bucket, dict[str, np.ndarray]]:
    sampled_at = {r.job: 100 + r.job for r in rows if r.tokens is None}
    numbers = step_rows(rows, sampled_at)
    bucket = bucket_of(
        len(numbers.ids),
        len(rows),
        is_decode=numbers.is_decode,
        most_sequences=MOST,
    )
    shapes = {**shapes_of(bucket, TILE), "block_table": (len(rows) * 9,)}
    into = {name: np.full(shape, 77, np.int32) for name, shape in shapes.items()}
    fill(into, numbers, TILE)
    return bucket, into


@given(st.lists(drawn, min_size=1, max_size=12))
def test_the_tables_say_what_the_rows_say(steps: list[tuple]) -> None:
    rows = [row(job, *each) for job, each in enumerate(steps)]

    bucket, found = tables(rows)

    flat, last, tiles, at, end = [], [], [], 0, 0
    for sequence, r in enumerate(rows):
        ids = r.tokens if r.tokens is not None else [0]
        source = 100 + r.job if r.tokens is None else -1
        flat += [
            (token, source, r.position + n, arena_row(r, r.position + n))
            for n, token in enumerate(ids)
        ]
        last += [at + len(ids) - 1] * r.wants_logits
        tiles += [(sequence, behind) for behind in range(0, len(ids), TILE)]
        entry = [found[name][sequence] for name in ("offset", "seen", "first", "count")]
        seen = r.position + len(ids)
        assert entry == [end, seen, at, len(ids)]
        own = r.blocks[: -(-seen // BLOCK_TOKENS)]
        assert found["block_table"][end : end + len(own)].tolist() == own.tolist()
        at, end = at + len(ids), end + len(own)
    names = ("ids", "source", "positions", "write")
    spare = [(0, -1, 0, -1)] * (bucket.tokens - at)
    assert list(zip(*(found[n] for n in names), strict=True)) == flat + spare
    assert not found["seen"][len(rows) :].any()
    assert (found["block_table"][end:] == 77).all(), "more was written than is used"
    if bucket.kind == "ragged":
        assert found["last"].tolist()[: len(last)] == last
        found_tiles = [tuple(tile) for tile in found["tiles"].tolist()]
        assert sorted(found_tiles[: len(tiles)]) == tiles
        assert set(found_tiles[len(tiles) :]) <= {(-1, -1)}
    else:
        assert last == list(range(len(rows))), "its rows are the rows of the logits"


@given(st.integers(1, 3000), st.integers(1, 256), st.booleans())
def test_every_step_has_a_bucket_with_room(n: int, m: int, is_decode: bool) -> None:
    sequences = n if is_decode else min(n, m)

    bucket = bucket_of(
        n, sequences, is_decode=is_decode, most_sequences=room_for(max(sequences, m))
    )

    assert bucket.tokens >= n
    assert bucket.sequences >= sequences
    assert bucket.is_graphed == (n <= (256 if bucket.kind == "decode" else 512))


def test_all_graphs_that_a_server_can_meet() -> None:
    found = graphed_buckets(most_sequences=16)

    assert [(b.kind, b.tokens, b.sequences) for b in found] == [
        *(("ragged", n, 16) for n in (512, 256, 128, 64)),
        *(("decode", n, n) for n in (16, 8, 4, 2, 1)),
    ]


def test_a_token_that_nobody_sampled_is_an_error() -> None:
    with pytest.raises(KeyError):
        step_rows([row(3, None, 5)], {4: 0})


@pytest.mark.parametrize("position", [9 * BLOCK_TOKENS - 1, 9 * BLOCK_TOKENS])
def test_blocks_that_end_before_the_row_does_are_an_error(position: int) -> None:
    reaches = row(3, [1], 9 * BLOCK_TOKENS - 1)
    assert len(step_rows([reaches], {}).block_table) == 9

    with pytest.raises(ValueError, match="do not reach as far as it writes"):
        step_rows([reaches, row(4, [1, 2], position)], {})


def test_a_job_s_blocks_may_grow_while_a_step_has_them() -> None:
    """Python refuses to let an array grow that somebody has a view of."""
    one = row(0, [1], 40)
    numbers = step_rows([one], {})

    one.blocks.extend(range(100))
    del one.blocks[:]

    assert numbers.block_table.tolist() == [1000, 999, 998]


def test_two_buffers_take_turns_and_one_copy_brings_a_step_to_one_address() -> None:
    shapes = {"a": (3,), "b": (2, 5)}
    staging = Staging(Host(), torch.device("cpu"), words_of(shapes))
    read = staging.read(shapes)
    addresses = set()
    for step in range(4):
        written = staging.write(shapes)
        addresses.add(written["a"].ctypes.data)
        written["a"][:] = step
        written["b"][:] = 10 * step

        staging.send(10)

        assert read["a"].tolist() == [step] * 3
        assert set(read["b"].flatten().tolist()) == {10 * step}
        assert read["b"].data_ptr() == staging.read(shapes)["b"].data_ptr()
        assert read["b"].data_ptr() % 64 == read["a"].data_ptr() % 64
    assert len(addresses) == 2


def test_of_the_last_field_as_much_is_sent_as_was_written() -> None:
    shapes = {"a": (3,), "table": (1000,)}
    staging = Staging(Host(), torch.device("cpu"), words_of(shapes))
    read = staging.read(shapes)
    for value, used in ((1, 1000), (2, 7), (3, 0)):
        for field in staging.write(shapes).values():
            field[:] = value
        staging.send(used)

    assert read["a"].tolist() == [3] * 3
    assert read["table"].tolist() == [2] * 7 + [1] * 993


def test_the_tables_of_256_rows_are_written_faster_than_they_are_computed() -> None:
    """200 us on an idle core; a busy one may take four times as long."""
    blocks = 512 // BLOCK_TOKENS
    rows = [
        replace(
            row(job, [7], 511),
            blocks=array("i", range(job * blocks, (job + 1) * blocks)),
        )
        for job in range(256)
    ]
    shapes = shapes_of(Bucket("decode", 256, 256), TILE)
    shapes["block_table"] = (256 * 8192,)
    into = {name: np.zeros(shape, np.int32) for name, shape in shapes.items()}
    seconds = []
    for _ in range(50):
        begun = time.thread_time()
        fill(into, step_rows(rows, {}), TILE)
        seconds.append(time.thread_time() - begun)

    assert min(seconds) < 800e-6
