"""Attention for a step with chunks of prompts and decoding rows together: one launch.

As in vLLM's unified attention, a program takes a tile of one sequence's rows and packs
the query heads that share a KV head into it, so each key is read once for all of them.
Not yet run on a GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hotswap.model.gpu.attention_table import AttentionTable, tile_rows
from hotswap.model.gpu.kernels.online_softmax import LOG2_E, add_tile, arena_rows, start
from hotswap.model.network.rows import BLOCK_TOKENS


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
    rows = tile_rows(heads, kv_heads)
    out = torch.empty_like(q)
    assert table.tiles is not None
    # KV heads first: tiles that begin together then share their keys in the L2 cache,
    # and the longest tiles of all heads begin first.
    _ragged_kernel[(kv_heads, table.tiles.shape[0])](
        q,
        keys,
        values,
        out,
        table.seen,
        table.block_table,
        table.offset,
        table.first,
        table.count,
        table.tiles,
        scaling * LOG2_E,
        HEADS=heads,
        KV_HEADS=kv_heads,
        DIM=dim,
        DIM_TILE=triton.next_power_of_2(dim),
        WINDOW=window,
        BLOCK=BLOCK_TOKENS,
        ROWS=rows,
        ROW_TILE=max(16, triton.next_power_of_2(rows * heads // kv_heads)),
        KEY_TILE=_key_tile(q.dtype, dim),
        num_warps=4 if q.dtype.itemsize == 2 else 8,
        num_stages=2,
    )
    return out


def _key_tile(dtype: torch.dtype, dim: int) -> int:
    """Two stages of keys and values beside q: two programs fit into 227 KiB. Without
    tensor cores, in float32, more keys would not fit into the registers."""
    if dtype.itemsize > 2:
        return 16
    return 64 if dim <= 128 else 32


@triton.jit
def _keys(seen, behind_first, rows, ROWS: tl.constexpr):
    """The position of a tile's first row, and the first that none of its rows sees."""
    position = seen - rows + behind_first
    return position, position + tl.minimum(ROWS, rows - behind_first)


@triton.jit
def _ragged_kernel(
    q, keys, values, out, seen, block_table, offset, first, count, tiles, scale,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr,
    DIM_TILE: tl.constexpr, WINDOW: tl.constexpr, BLOCK: tl.constexpr,
    ROWS: tl.constexpr, ROW_TILE: tl.constexpr, KEY_TILE: tl.constexpr,
):  # fmt: skip
    kv_head = tl.program_id(0)
    tile = tiles + 2 * tl.program_id(1)
    sequence = tl.load(tile)
    if sequence < 0:
        return
    behind_first, rows = tl.load(tile + 1), tl.load(count + sequence)
    position, end = _keys(tl.load(seen + sequence), behind_first, rows, ROWS)

    # Row i of the tile: row i // GROUP, the query head i % GROUP of the KV head
    GROUP: tl.constexpr = HEADS // KV_HEADS
    index = tl.arange(0, ROW_TILE)
    row, dims = index // GROUP, tl.arange(0, DIM_TILE)
    is_dim = (dims < DIM)[None, :]
    is_query = ((row < ROWS) & (behind_first + row < rows))[:, None] & is_dim
    q_row = (tl.load(first + sequence) + behind_first).to(tl.int64)
    q_start = q_row * (HEADS * DIM) + kv_head * (GROUP * DIM)
    q_places = (row * (HEADS * DIM) + index % GROUP * DIM)[:, None] + dims[None, :]
    query = tl.load(q + q_start + q_places, mask=is_query, other=0.0)

    STEP: tl.constexpr = KV_HEADS * DIM
    blocks = block_table + tl.load(offset + sequence)
    keys += kv_head * DIM
    values += kv_head * DIM
    at = tl.arange(0, KEY_TILE)
    highest, total, result = start(ROW_TILE, DIM_TILE)
    if WINDOW > 0:
        begin = tl.maximum(position - WINDOW + 1, 0)
    else:
        begin = (position + 1) // KEY_TILE * KEY_TILE  # before it every row sees all
        key_row = arena_rows(blocks, at, end, BLOCK)
        for key in range(0, begin, KEY_TILE):
            places = (key_row * STEP)[:, None] + dims[None, :]
            key_row = arena_rows(blocks, key + KEY_TILE + at, end, BLOCK)
            highest, total, result = add_tile(
                query, keys + places, values + places, is_dim, None, scale,
                highest, total, result,
            )  # fmt: skip
    key_row = arena_rows(blocks, begin + at, end, BLOCK)
    for key in range(begin, end, KEY_TILE):
        behind = (position + row)[:, None] - (key + at)[None, :]
        is_seen = behind >= 0
        if WINDOW > 0:
            is_seen = is_seen & (behind < WINDOW)
        # From `end` on lie others' rows, perhaps never written: not even 0 times those.
        is_there = (key + at < end)[:, None] & is_dim
        places = (key_row * STEP)[:, None] + dims[None, :]
        key_row = arena_rows(blocks, key + KEY_TILE + at, end, BLOCK)
        highest, total, result = add_tile(
            query, keys + places, values + places, is_there, is_seen, scale,
            highest, total, result,
        )  # fmt: skip
    result = (result / total[:, None]).to(query.dtype)
    tl.store(out + q_start + q_places, result, mask=is_query)
