"""Keys and values are found wherever their blocks lie, and nobody else's are read:
all that is not a sequence's own is NaN (`attention_steps`)."""

from dataclasses import replace

import pytest
import torch

from hotswap.model.network.rows import BLOCK_TOKENS
from tests.hotswap.gpu.attention_steps import Shape, Step, step

pytest.importorskip("triton")
from hotswap.model.gpu.kernels import attention_decode
from tests.hotswap.gpu.attention_calls import assert_close, call

# Rows that fill a tile up may see no key at all: numpy warns of 0 / 0.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
ONE_HEAD = Shape(kv_heads=1, group=2)
BORDERS = (15, 16, 17, 63, 64, 65)
# Of a decoding step: a program for each sequence, or several that share its keys
KINDS = {"ragged": (False, 1), "decode": (True, 1), "split": (True, 24)}


@pytest.fixture(params=KINDS)
def is_decode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    kind, programs = KINDS[request.param]
    monkeypatch.setattr(attention_decode, "_PROGRAMS", programs)
    return kind


def moved(it: Step) -> Step:
    """The same keys and values in other blocks."""
    blocks = len(it.keys) // BLOCK_TOKENS
    to = torch.randperm(blocks, generator=torch.Generator().manual_seed(1))
    to = to.to(it.keys.device)
    keys, values = (torch.empty_like(each) for each in (it.keys, it.values))
    for before, after in ((it.keys, keys), (it.values, values)):
        whole = (blocks, BLOCK_TOKENS, *before.shape[1:])
        after.view(whole)[to] = before.view(whole)
    table = replace(it.table, block_table=to[it.table.block_table.long()].int())
    return replace(it, keys=keys, values=values, table=table)


@pytest.mark.parametrize("window", [None, 17])
def test_contexts_that_end_at_and_beside_a_block_s_border(
    device: torch.device, is_decode: bool, window: int | None
) -> None:
    ends = [(end - 1, 1) for end in BORDERS]
    it = step(ends, ONE_HEAD, device, is_decode=is_decode)

    assert_close(call(it, window), it, window)


@pytest.mark.parametrize("window", [None, 16, 31])
def test_chunks_that_begin_and_end_at_and_beside_a_block_s_border(
    device: torch.device, window: int | None
) -> None:
    rows = (16, 17, 16, 15, 1, 17, 2)
    it = step(list(zip((0, *BORDERS), rows, strict=True)), ONE_HEAD, device)

    assert_close(call(it, window), it, window)


@pytest.mark.parametrize("window", [None, 40])
def test_sequences_share_the_blocks_of_their_prefix(
    device: torch.device, is_decode: bool, window: int | None
) -> None:
    """One is as long as the prefix, one has none of it."""
    rows = (1, 1, 1, 1) if is_decode else (3, 20, 1, 1)
    sequences = list(zip((48, 53, 100, 7), rows, strict=True))
    it = step(sequences, ONE_HEAD, device, is_decode=is_decode, shared=3)
    blocks = [it.table.block_table[at].item() for at in it.table.offset.tolist()[:4]]
    assert len(set(blocks)) == 2, "nothing is shared"

    assert_close(call(it, window), it, window)


def test_where_the_blocks_lie_changes_no_bit(
    device: torch.device, is_decode: bool
) -> None:
    rows = 1 if is_decode else 18
    sequences = [(70, rows), (3, rows)]
    shape = Shape(kv_heads=1, group=2, dtype=torch.bfloat16)
    it = step(sequences, shape, device, is_decode=is_decode)

    assert torch.equal(call(moved(it), None), call(it, None))


def test_a_block_that_is_named_wrong_shows(
    device: torch.device, is_decode: bool
) -> None:
    """That the tests above would notice: its rows are NaN."""
    it = step([(40, 1)], ONE_HEAD, device, is_decode=is_decode)
    nobodys = it.table.block_table[-1].item()

    it.table.block_table[1] = nobodys

    assert call(it, None).isnan().all()
