"""Attention on the KV arena in plain torch: what `attend` must answer."""

import torch
from torch import Tensor

from hotswap.model.gpu.attention_table import AttentionTable
from hotswap.model.network.rows import BLOCK_TOKENS


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    table: AttentionTable,
    scaling: float,
    window: int | None,
) -> Tensor:
    """As `kernels.attention.attend`, sequence by sequence; float64 stays float64. Rows
    of q that belong to no sequence become NaN: whoever reads them will notice."""
    wide = torch.promote_types(q.dtype, torch.float32)
    group = q.shape[1] // keys.shape[1]
    out = torch.full_like(q, torch.nan)
    for offset, seen, first, count in _sequences(table):
        own = _arena_rows(table.block_table[offset:], seen)
        key = keys[own].to(wide).repeat_interleave(group, dim=1)
        value = values[own].to(wide).repeat_interleave(group, dim=1)
        query = q[first : first + count].to(wide)
        at = torch.arange(seen, device=q.device)
        behind = at[seen - count :, None] - at
        is_seen = (behind >= 0) & (behind < (window or seen))
        scores = torch.einsum("rhd,khd->hrk", query, key) * scaling
        weights = scores.masked_fill(~is_seen, -torch.inf).softmax(-1)
        result = torch.einsum("hrk,khd->rhd", weights, value)
        out[first : first + count] = result.to(q.dtype)
    return out


def _arena_rows(blocks: Tensor, seen: int) -> Tensor:
    """[seen]: block by block, each whole but the last."""
    count = -(-seen // BLOCK_TOKENS)
    within = torch.arange(BLOCK_TOKENS, device=blocks.device)
    rows = blocks[:count, None].long() * BLOCK_TOKENS + within
    return rows.flatten()[:seen]


def _sequences(table: AttentionTable) -> list[tuple[int, ...]]:
    """(offset, seen, first, count) of those that are used."""
    columns = (table.offset, table.seen, table.first, table.count)
    rows = torch.stack(columns, dim=1).tolist()
    return [tuple(row) for row in rows if row[1] > 0]
