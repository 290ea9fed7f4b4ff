"""Attention in C over blocks where they lie: each token sees its own job's alone, in
the same bits whoever is beside it."""

from array import array
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.machine import block_attention as module
from hotswap.model.machine.block_attention import (
    BLOCK,
    BlockArena,
    BlockAttention,
    Layout,
    Part,
    block_attention,
)
from tests.compilers import compiled, needs_compiler
from tests.hotswap.attention_jobs import BLOCKS, JOBS, tables, wanted

SOURCE = Path(module.__file__).with_name("block_attention.c")
SHAPES = [(4, 2, 8, 8), (9, 3, 20, 24), (1, 1, 16, 16), (7, 1, 5, 40)]
WINDOWS = [None, 5, 16, 150]
DTYPES = [torch.float32, torch.bfloat16]
Shape = tuple[int, int, int, int]
Drawn = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def native() -> BlockAttention:
    found = block_attention()
    assert found is not None, "it computes otherwise than torch"
    return found


def drawn(
    tokens: int, shape: Shape, seed: int, dtype: torch.dtype = torch.float32
) -> Drawn:
    heads, kv_heads, dim, value_dim = shape
    generator = torch.Generator().manual_seed(seed)

    def one(count: int, width: int) -> torch.Tensor:
        return torch.randn(tokens, count, width, generator=generator).to(dtype)

    return one(heads, dim), one(kv_heads, dim), one(kv_heads, value_dim)


def arena(shape: Shape, dtype: torch.dtype = torch.float32) -> BlockArena:
    """What nobody wrote, or others did, is nonsense that spoils whatever it meets."""
    made = BlockArena(BLOCKS, *shape[1:], dtype)
    made.keys.fill_(torch.nan)
    made.values.fill_(torch.nan)
    return made


def attended(
    native: BlockAttention,
    where: BlockArena,
    parts: list[Part],
    given: Drawn,
    window: int | None,
) -> torch.Tensor:
    scaling = given[0].shape[-1] ** -0.5
    return native.attend(where, Layout(parts), given, scaling=scaling, window=window)


def holds(
    native: BlockAttention,
    jobs: list[tuple[int, int, str, int]],
    shape: Shape,
    window: int | None,
    seed: int,
    *,
    dtype: torch.dtype,
) -> None:
    where, places = arena(shape, dtype), tables(jobs, seed)
    held = [
        drawn(before + tokens, shape, seed + n, dtype)
        for n, (before, tokens, *_) in enumerate(jobs)
    ]
    for (before, *_), table, own in zip(jobs, places, held, strict=True):
        if before:
            first = tuple(x[:before] for x in own)
            attended(native, where, [(0, before, 0, table)], first, window)  # type: ignore[arg-type]
    parts, row = [], 0
    for (before, tokens, *_), table in zip(jobs, places, strict=True):
        parts.append((row, tokens, before, table))
        row += tokens
    now = [
        [x[before:] for x in own] for (before, *_), own in zip(jobs, held, strict=True)
    ]
    q, k, v = (torch.cat(each) for each in zip(*now, strict=True))
    keys, values = where.keys.clone(), where.values.clone()

    found = attended(native, where, parts, (q, k, v), window)

    for (row, tokens, before, table), own in zip(parts, held, strict=True):
        rows = slice(row, row + tokens)
        expected = wanted(q[rows], own[1], own[2], before, window)
        if dtype is torch.float32:
            torch.testing.assert_close(found[rows], expected, atol=1e-5, rtol=1e-4)
        else:  # the same, rounded once
            expected = expected.to(dtype)
            torch.testing.assert_close(found[rows], expected, atol=1e-5, rtol=2**-7)
        for n in range(tokens):
            block, offset = divmod(before + n, BLOCK)
            keys[table[block], ..., offset] = k[row + n]
            values[table[block], :, offset, : shape[3]] = v[row + n]
    assert torch.equal(where.keys.nan_to_num(9.0), keys.nan_to_num(9.0))
    assert torch.equal(where.values.nan_to_num(9.0), values.nan_to_num(9.0))


@settings(deadline=None, max_examples=60)
@given(
    JOBS,
    st.sampled_from(SHAPES),
    st.sampled_from(WINDOWS),
    st.integers(0, 999),
    st.sampled_from(DTYPES),
)
def test_each_token_sees_its_own_job_and_no_block_of_others(
    jobs: list[tuple[int, int, str, int]],
    shape: Shape,
    window: int | None,
    seed: int,
    dtype: torch.dtype,
) -> None:
    found = block_attention()
    assert found is not None
    holds(found, jobs, shape, window, seed, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", WINDOWS)
def test_long_contexts_are_seen_whole(
    native: BlockAttention, window: int | None, dtype: torch.dtype
) -> None:
    jobs = [(700, 1, "scattered", 0), (300, 40, "in order", 1)]
    holds(native, jobs, SHAPES[0], window, 3, dtype=dtype)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=6, unique=True),
    st.sampled_from(SHAPES),
    st.sampled_from(WINDOWS),
    st.sampled_from(DTYPES),
)
def test_a_tokens_bits_do_not_depend_on_who_is_beside_it_or_where_chunks_end(
    cuts: list[int], shape: Shape, window: int | None, dtype: torch.dtype
) -> None:
    native = block_attention()
    assert native is not None
    own, other = drawn(301, shape, 1, dtype), drawn(301, shape, 2, dtype)
    table, others = array("i", range(40, 60)), array("i", range(20))
    alone = [arena(shape, dtype), arena(shape, dtype)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole = attended(native, alone[0], [(0, 301, 0, table)], own, window)
        torch.set_num_threads(2)
        begun = 0
        for stop in [*sorted(cuts), 301]:
            tokens = stop - begun
            given = tuple(
                torch.cat((b[begun:stop], a[begun:stop]))
                for a, b in zip(own, other, strict=True)
            )
            parts = [(0, tokens, begun, others), (tokens, tokens, begun, table)]
            found = attended(native, alone[1], parts, given, window)  # type: ignore[arg-type]
            assert torch.equal(found[tokens:], whole[begun:stop])
            begun = stop
    finally:
        torch.set_num_threads(before)


def test_what_is_no_number_in_one_job_stays_in_it(native: BlockAttention) -> None:
    shape = SHAPES[0]
    where, (q, k, v) = BlockArena(4, *shape[1:], torch.float32), drawn(40, shape, 0)
    k[3] = v[5] = torch.nan
    parts = [(0, 20, 0, array("i", [3, 1])), (20, 20, 0, array("i", [0, 2]))]

    found = attended(native, where, parts, (q, k, v), None)

    assert bool(found[5:20].isnan().all())
    assert bool(found[20:].isfinite().all())


def test_a_table_that_is_too_short_or_names_no_block_reads_nothing(
    native: BlockAttention,
) -> None:
    where = arena(SHAPES[0])
    with pytest.raises((AssertionError, IndexError)):
        Layout([(0, 17, 0, array("i", [1]))])
    for table in ([BLOCKS], [-1]):
        with pytest.raises(AssertionError):
            attended(
                native,
                where,
                [(0, 1, 0, array("i", table))],
                drawn(1, SHAPES[0], 0),
                None,
            )


@pytest.mark.slow  # compiles
@pytest.mark.parametrize("lanes", [4, 16])
def test_vectors_of_every_width_compute_the_same(lanes: int, tmp_path: Path) -> None:
    native = BlockAttention(compiled(SOURCE, tmp_path, LANES=lanes))

    jobs = [(40, 20, "scattered", 0), (20, 1, "one gap", 0)]
    for shape, window, dtype in product(SHAPES, WINDOWS, DTYPES):
        holds(native, jobs, shape, window, lanes, dtype=dtype)
    module._try(native)


def test_one_that_computes_otherwise_is_not_used(
    native: BlockAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        BlockAttention, "attend", lambda self, *rest, **more: rest[2][0]
    )
    block_attention.cache_clear()
    try:
        assert block_attention() is None
    finally:
        block_attention.cache_clear()
