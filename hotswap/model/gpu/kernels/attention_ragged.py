"""Attention for a step with chunks of prompts and decoding rows together, in one launch.

As in vLLM's unified attention, a program takes a block of one sequence's rows and packs
the query heads that share a KV head into it, so each key is read once for all of them.
Not yet run on a GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hotswap.model.gpu.attention_table import AttentionTable, block_rows
from hotswap.model.gpu.kernels.online_softmax import LOG2_E, add_block


def attend_ragged(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    table: AttentionTable,
    scaling: float,
    window: int,
) -> Tensor:
    """See `attend`; `window` 0: none."""
    _, heads, dim = q.shape
    kv_heads = keys.shape[1]
    rows = block_rows(heads, kv_heads)
    out = torch.empty_like(q)
    assert table.blocks is not None
    # KV heads first: blocks that begin together then share their keys in the L2 cache,
    # and the longest blocks of all heads begin first.
    _ragged_kernel[(kv_heads, table.blocks.shape[0])](
        q,
        keys,
        values,
        out,
        table.seen,
        table.starts,
        table.first,
        table.count,
        table.blocks,
        scaling * LOG2_E,
        HEADS=heads,
        KV_HEADS=kv_heads,
        DIM=dim,
        DIM_TILE=triton.next_power_of_2(dim),
        WINDOW=window,
        ROWS=rows,
        ROW_TILE=max(16, triton.next_power_of_2(rows * heads // kv_heads)),
        KEY_TILE=_key_tile(q.dtype, dim),
        num_warps=4,
        num_stages=2,
    )
    return out


def _key_tile(dtype: torch.dtype, dim: int) -> int:
    """Keys and values of two stages beside q: 2 programs fit into 227 KiB."""
    return 64 if dim * dtype.itemsize <= 256 else 32


@triton.jit
def _ragged_kernel(
    q,
    keys,
    values,
    out,
    seen,
    starts,
    first,
    count,
    blocks,
    scale,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_TILE: tl.constexpr,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    ROW_TILE: tl.constexpr,
    KEY_TILE: tl.constexpr,
):
    kv_head = tl.program_id(0)
    sequence = tl.load(blocks + 2 * tl.program_id(1))
    if sequence < 0:
        return
    offset = tl.load(blocks + 2 * tl.program_id(1) + 1)
    rows = tl.load(count + sequence)
    position = tl.load(seen + sequence) - rows + offset  # of the block's first row
    end = position + tl.minimum(ROWS, rows - offset)  # no key from here on is attended

    # Row i of the tile: the query head i % GROUP of the KV head, row i // GROUP
    GROUP: tl.constexpr = HEADS // KV_HEADS
    index = tl.arange(0, ROW_TILE)
    row = index // GROUP
    dims = tl.arange(0, DIM_TILE)
    is_row = (row < ROWS) & (offset + row < rows)
    is_query = is_row[:, None] & (dims < DIM)[None, :]
    q_first = (tl.load(first + sequence) + offset).to(tl.int64) * (HEADS * DIM)
    q_first += kv_head * (GROUP * DIM)
    q_places = (row * (HEADS * DIM) + index % GROUP * DIM)[:, None] + dims[None, :]
    query = tl.load(q + q_first + q_places, mask=is_query, other=0.0)

    begin = 0
    if WINDOW > 0:
        begin = tl.maximum(position - WINDOW + 1, 0)
    start = tl.load(starts + sequence) + begin
    arena = start.to(tl.int64) * (KV_HEADS * DIM) + kv_head * DIM
    keys += arena
    values += arena
    highest = tl.full([ROW_TILE], float("-inf"), tl.float32)
    total = tl.zeros([ROW_TILE], tl.float32)
    result = tl.zeros([ROW_TILE, DIM_TILE], tl.float32)
    at = tl.arange(0, KEY_TILE)
    places = at[:, None] * (KV_HEADS * DIM) + dims[None, :]
    is_dim = (dims < DIM)[None, :]

    everyone = begin
    if WINDOW == 0:
        everyone = (position + 1) // KEY_TILE * KEY_TILE  # so far every row sees all
        for _ in range(0, everyone, KEY_TILE):
            key = tl.load(keys + places, mask=is_dim, other=0.0)
            scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
            value = tl.load(values + places, mask=is_dim, other=0.0)
            highest, total, result = add_block(scores, value, highest, total, result)
            keys += KEY_TILE * KV_HEADS * DIM
            values += KEY_TILE * KV_HEADS * DIM

    for block in range(everyone, end, KEY_TILE):
        # Beyond `end` lie others' rows, perhaps never written: not even 0 times those.
        is_there = is_dim & (block + at < end)[:, None]
        key = tl.load(keys + places, mask=is_there, other=0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
        behind = (position + row)[:, None] - (block + at)[None, :]
        is_seen = behind >= 0
        if WINDOW > 0:
            is_seen = is_seen & (behind < WINDOW)
        scores = tl.where(is_seen, scores, float("-inf"))
        value = tl.load(values + places, mask=is_there, other=0.0)
        highest, total, result = add_block(scores, value, highest, total, result)
        keys += KEY_TILE * KV_HEADS * DIM
        values += KEY_TILE * KV_HEADS * DIM

    result = result / total[:, None]
    tl.store(out + q_first + q_places, result.to(query.dtype), mask=is_query)
