"""Attention for a step in which every sequence has one row: flash decoding.

The keys of a sequence are split among several programs where the sequences alone would
not fill the card, and a second kernel puts their results together (Dao et al. 2023,
flash decoding; as FlashAttention and SGLang do). Not yet run on a GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hotswap.model.gpu.attention_table import AttentionTable
from hotswap.model.gpu.kernels.online_softmax import LOG2_E, add_tile, arena_rows, start
from hotswap.model.network.rows import BLOCK_TOKENS

_PROGRAMS = 264  # two for each of an H100's 132 multiprocessors
_MOST_SPLITS = 64


def splits_of(sequences: int, kv_heads: int) -> int:
    """Programs that share the keys of one sequence and KV head; a power of two.

    By the shape alone, because a CUDA graph holds the grid: no sequence's length is in
    it. With one long sequence among many short ones the card waits for that one.
    """
    wanted = _PROGRAMS // (sequences * kv_heads)
    return min(max(1, 1 << wanted.bit_length() >> 1), _MOST_SPLITS)


def attend_decode(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    table: AttentionTable,
    scaling: float,
    window: int,
) -> Tensor:
    """See `attend`; `window` 0: none."""
    rows, heads, dim = q.shape
    kv_heads = keys.shape[1]
    sequences = len(table.seen)
    splits = splits_of(sequences, kv_heads)
    out = torch.empty_like(q)
    if splits == 1:
        parts, levels = out, out  # the second is not written
    else:
        shape = (rows, heads, splits)
        parts = torch.empty((*shape, dim), dtype=torch.float32, device=q.device)
        levels = torch.empty(shape, dtype=torch.float32, device=q.device)
    sizes = {
        "HEADS": heads,
        "DIM": dim,
        "DIM_TILE": triton.next_power_of_2(dim),
        "WINDOW": window,
        "SPLITS": splits,
        "KEY_TILE": _key_tile(q.dtype, dim),
    }
    _decode_kernel[(kv_heads, sequences, splits)](
        q,
        keys,
        values,
        parts,
        levels,
        table.seen,
        table.block_table,
        table.offset,
        table.first,
        scaling * LOG2_E,
        KV_HEADS=kv_heads,
        BLOCK=BLOCK_TOKENS,
        ROW_TILE=max(16, triton.next_power_of_2(heads // kv_heads)),
        num_warps=4,
        num_stages=3,
        **sizes,
    )
    if splits > 1:
        _join_kernel[(heads, sequences)](
            parts, levels, out, table.seen, table.first, num_warps=4, **sizes
        )
    return out


def _key_tile(dtype: torch.dtype, dim: int) -> int:
    """16 KiB of keys: with three stages two programs fit into 227 KiB, and 128 KiB are
    on their way to each multiprocessor, several times what hides the memory's delay."""
    return 64 if dim * dtype.itemsize <= 256 else 32


@triton.jit
def _span(seen, sequence, split, WINDOW: tl.constexpr, SPLITS: tl.constexpr, KEY_TILE):
    """The keys [begin, end) of a split; empty for an unused sequence or split."""
    end = tl.load(seen + sequence)
    begin = 0
    if WINDOW > 0:
        begin = tl.maximum(end - WINDOW, 0)
    tiles = (end - begin + KEY_TILE - 1) // KEY_TILE
    share = (tiles + SPLITS - 1) // SPLITS * KEY_TILE
    begin += split * share
    return begin, tl.minimum(begin + share, end)


@triton.jit
def _decode_kernel(
    q, keys, values, parts, levels, seen, block_table, offset, first, scale,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr,
    DIM_TILE: tl.constexpr, WINDOW: tl.constexpr, SPLITS: tl.constexpr,
    BLOCK: tl.constexpr, ROW_TILE: tl.constexpr, KEY_TILE: tl.constexpr,
):  # fmt: skip
    kv_head = tl.program_id(0)
    sequence = tl.program_id(1)
    split = tl.program_id(2)
    begin, end = _span(seen, sequence, split, WINDOW, SPLITS, KEY_TILE)
    if begin >= end:
        return

    # Row i of the tile: the query head i of the KV head
    GROUP: tl.constexpr = HEADS // KV_HEADS
    index = tl.arange(0, ROW_TILE)
    dims = tl.arange(0, DIM_TILE)
    is_dim = (dims < DIM)[None, :]
    is_query = (index < GROUP)[:, None] & is_dim
    head = tl.load(first + sequence).to(tl.int64) * HEADS + kv_head * GROUP
    q_places = index[:, None] * DIM + dims[None, :]
    query = tl.load(q + head * DIM + q_places, mask=is_query, other=0.0)

    STEP: tl.constexpr = KV_HEADS * DIM
    blocks = block_table + tl.load(offset + sequence)
    keys += kv_head * DIM
    values += kv_head * DIM
    at = tl.arange(0, KEY_TILE)
    highest, total, result = start(ROW_TILE, DIM_TILE)
    key_row = arena_rows(blocks, begin + at, end, BLOCK)
    for key in range(begin, end, KEY_TILE):
        # From `end` on lie others' rows, perhaps never written: not even 0 times those.
        is_key = key + at < end
        places = (key_row * STEP)[:, None] + dims[None, :]
        key_row = arena_rows(blocks, key + KEY_TILE + at, end, BLOCK)
        highest, total, result = add_tile(
            query, keys + places, values + places, is_key[:, None] & is_dim,
            is_key[None, :], scale, highest, total, result,
        )  # fmt: skip

    result = result / total[:, None]
    if SPLITS == 1:
        out = parts + head * DIM
        tl.store(out + q_places, result.to(query.dtype), mask=is_query)
    else:
        part = head * SPLITS + split
        part_places = index[:, None] * (SPLITS * DIM) + dims[None, :]
        tl.store(parts + part * DIM + part_places, result, mask=is_query)
        level = highest + tl.log2(total)  # log 2 of the sum of its exp2(score)
        tl.store(levels + part + index * SPLITS, level, mask=index < GROUP)


@triton.jit
def _join_kernel(
    parts,
    levels,
    out,
    seen,
    first,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_TILE: tl.constexpr,
    WINDOW: tl.constexpr,
    SPLITS: tl.constexpr,
    KEY_TILE: tl.constexpr,
):
    sequence = tl.program_id(1)
    split = tl.arange(0, SPLITS)
    begin, end = _span(seen, sequence, split, WINDOW, SPLITS, KEY_TILE)
    is_used = begin < end
    if tl.load(seen + sequence) == 0:
        return
    head = tl.load(first + sequence).to(tl.int64) * HEADS + tl.program_id(0)
    level = tl.load(levels + head * SPLITS + split, mask=is_used, other=float("-inf"))
    weights = tl.exp2(level - tl.max(level, 0))
    dims = tl.arange(0, DIM_TILE)
    is_there = is_used[:, None] & (dims < DIM)[None, :]
    places = split[:, None] * DIM + dims[None, :]
    part = tl.load(parts + head * SPLITS * DIM + places, mask=is_there, other=0.0)
    result = tl.sum(part * weights[:, None], 0) / tl.sum(weights, 0)
    tl.store(out + head * DIM + dims, result.to(out.dtype.element_ty), mask=dims < DIM)
