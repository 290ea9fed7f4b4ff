"""A step's tables say what its rows say, whatever was in the buffers before."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hotswap.model.gpu.buckets import Bucket, bucket_of, graphed_buckets, room_for
from hotswap.model.gpu.staging import Staging, words_of
from hotswap.model.gpu.step_inputs import fill, shapes_of, step_rows
from hotswap.model.machine.device import Host
from hotswap.model.network.rows import Row

BLOCK = 4
MOST = 256

tokens = st.one_of(st.none(), st.lists(st.integers(0, 99), min_size=1, max_size=9))
drawn = st.tuples(tokens, st.integers(0, 50), st.booleans())


def row(job: int, ids: list[int] | None, position: int, wants: bool = True) -> Row:
    return Row(
        job=job, tokens=ids, position=position, generation=None, wants_logits=wants
    )


def tables(rows: list[Row], starts: list[int]) -> tuple[Bucket, dict[str, np.ndarray]]:
    sampled_at = {r.job: 100 + r.job for r in rows if r.tokens is None}
    numbers = step_rows(rows, starts, sampled_at)
    bucket = bucket_of(
        len(numbers.ids),
        len(rows),
        is_decode=numbers.is_decode,
        most_sequences=MOST,
    )
    shapes = shapes_of(bucket, BLOCK)
    into = {name: np.full(shape, 77, np.int32) for name, shape in shapes.items()}
    fill(into, numbers, BLOCK)
    return bucket, into


@given(st.lists(drawn, min_size=1, max_size=12))
def test_the_tables_say_what_the_rows_say(steps: list[tuple]) -> None:
    rows = [row(job, *each) for job, each in enumerate(steps)]
    starts = [1000 * (job + 1) for job in range(len(rows))]

    bucket, found = tables(rows, starts)

    flat, last, blocks, at = [], [], [], 0
    for sequence, (r, start) in enumerate(zip(rows, starts, strict=True)):
        ids = r.tokens if r.tokens is not None else [0]
        source = 100 + r.job if r.tokens is None else -1
        flat += [
            (token, source, r.position + n, start + r.position + n)
            for n, token in enumerate(ids)
        ]
        last += [at + len(ids) - 1] * r.wants_logits
        blocks += [(sequence, offset) for offset in range(0, len(ids), BLOCK)]
        entry = [found[name][sequence] for name in ("starts", "seen", "first", "count")]
        assert entry == [start, r.position + len(ids), at, len(ids)]
        at += len(ids)
    names = ("ids", "source", "positions", "write")
    spare = [(0, -1, 0, -1)] * (bucket.tokens - at)
    assert list(zip(*(found[n] for n in names), strict=True)) == flat + spare
    assert not found["seen"][len(rows) :].any()
    if bucket.kind == "ragged":
        assert found["last"].tolist()[: len(last)] == last
        found_blocks = [tuple(block) for block in found["blocks"].tolist()]
        assert sorted(found_blocks[: len(blocks)]) == blocks
        assert set(found_blocks[len(blocks) :]) <= {(-1, -1)}
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
        step_rows([row(3, None, 5)], [0], {4: 0})


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

        staging.send(shapes)

        assert read["a"].tolist() == [step] * 3
        assert set(read["b"].flatten().tolist()) == {10 * step}
        assert read["b"].data_ptr() == staging.read(shapes)["b"].data_ptr()
        assert read["b"].data_ptr() % 64 == read["a"].data_ptr() % 64
    assert len(addresses) == 2


def test_the_tables_of_256_rows_are_written_faster_than_they_are_computed() -> None:
    """150 us on an idle core; a busy one may take four times as long."""
    rows = [row(job, [7], 100 + job) for job in range(256)]
    starts = [400 * job for job in range(256)]
    numbers = step_rows(rows, starts, {})
    shapes = shapes_of(Bucket("decode", 256, 256), BLOCK)
    into = {name: np.zeros(shape, np.int32) for name, shape in shapes.items()}
    seconds = []
    for _ in range(50):
        begun = time.thread_time()
        numbers = step_rows(rows, starts, {})
        fill(into, numbers, BLOCK)
        seconds.append(time.thread_time() - begun)

    assert min(seconds) < 600e-6
