"""Attention on blocks: each token sees its own job's, and nobody else's is touched."""

from array import array

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.eager import attention as module
from hotswap.model.eager.attention import Attention, Segment
from hotswap.model.eager.kv import KV
from hotswap.model.network.rows import BLOCK_TOKENS
from tests.hotswap.attention_jobs import BLOCKS, JOBS, tables, wanted

CPU = torch.device("cpu")
HEADS, KV_HEADS, DIM = 4, 2, 8


@settings(deadline=None, max_examples=60)
@given(
    JOBS,
    st.sampled_from([None, 5, 16, 33]),
    st.sampled_from([8, 40, 256]),
    st.integers(0, 999),
)
def test_each_token_sees_its_own_job_and_no_block_of_others(
    jobs: list[tuple[int, int, str, int]], window: int | None, long: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, DIM, generator=generator)

    kv, places = KV(BLOCKS, CPU), tables(jobs, seed)
    # What nobody wrote, or others did, is nonsense that spoils whatever it meets.
    nothing = torch.full((BLOCKS * BLOCK_TOKENS, KV_HEADS, DIM), torch.nan)
    keys, values = kv.write(0, torch.arange(len(nothing)), nothing, nothing)
    held, segments, new, row = [], [], [], 0
    for (before, tokens, *_), table in zip(jobs, places, strict=True):
        k, v = drawn(before + tokens, KV_HEADS), drawn(before + tokens, KV_HEADS)
        held.append((k, v))
        at = [table[p // 16] * 16 + p % 16 for p in range(before + tokens)]
        kv.write(0, torch.tensor(at[:before], dtype=torch.long), k[:before], v[:before])
        segments.append(Segment(row, tokens, before, table))
        new += at[before:]
        row += tokens
    was = keys.clone(), values.clone()
    q = drawn(row, HEADS)
    k, v = (
        torch.cat(
            [each[n][before:] for (before, *_), each in zip(jobs, held, strict=True)]
        )
        for n in (0, 1)
    )

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_LONG", long)
        step = Attention(kv, segments, CPU)
        found = step.attend(0, q, k, v, scaling=None, window=window)

    for (before, tokens, *_), (own_k, own_v), part in zip(
        jobs, held, segments, strict=True
    ):
        rows = slice(part.row, part.row + tokens)
        expected = wanted(q[rows], own_k, own_v, before, window)
        torch.testing.assert_close(found[rows], expected, atol=1e-5, rtol=1e-4)
    for now, then, own in zip((keys, values), was, (k, v), strict=True):
        then[torch.tensor(new)] = own
        assert torch.equal(now.nan_to_num(9.0), then.nan_to_num(9.0)), "others' changed"


def test_a_table_that_is_too_short_is_an_error_and_reads_nothing() -> None:
    kv = KV(4, CPU)
    for tokens, position in ((17, 0), (1, 16)):
        with pytest.raises((AssertionError, IndexError)):
            Attention(kv, [Segment(0, tokens, position, array("i", [1]))], CPU)


def test_a_table_may_grow_while_a_step_that_it_was_in_is_kept() -> None:
    """An array that somebody looks into could not."""
    for rows in (1, 2):  # it attends alone, and in a group
        kv, table = KV(8, CPU), array("i", [5, 1])
        parts = [Segment(row, 1, 20 - row, table) for row in range(rows)]
        step = Attention(kv, parts, CPU)
        x = torch.zeros(rows, 1, 1)
        step.attend(0, x, x, x, scaling=None, window=None)

        table.append(7)
