"""Rotary position embedding and the KV's new rows, in one pass over qkv.

Su et al., RoFormer, 2021; halves paired as transformers' Llama has them. Not yet run on
a GPU.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

HEADS, WARPS = 8, 2  # heads of one row in a program


def rotate_and_write(
    qkv: Tensor,
    cos: Tensor,
    sin: Tensor,
    positions: Tensor,
    write: Tensor,
    keys: Tensor,
    values: Tensor,
    heads: int,
) -> Tensor:
    """Rotates q and k of qkv [n, (h + 2 k) d]; writes k, v to the KV -> q [n, h, d].

    cos, sin: [context, d] float32, the rotary module's. positions: [n] int32. write:
    [n] int32, the KV row of each, of its own; below zero nothing is written. keys,
    values: [capacity, k, d], written in place. In float32, rounded once.
    """
    rows, (_, kv_heads, width) = len(qkv), keys.shape
    q = torch.empty(rows, heads, width, dtype=qkv.dtype, device=qkv.device)
    if rows:
        _rotate_and_write[(rows, triton.cdiv(heads + 2 * kv_heads, HEADS))](
            qkv,
            cos,
            sin,
            positions,
            write,
            keys,
            values,
            q,
            qkv.stride(0),
            keys.stride(0),
            values.stride(0),
            Q_HEADS=heads,
            KV_HEADS=kv_heads,
            HALF=width // 2,
            BLOCK=triton.next_power_of_2(width // 2),
            HEADS=HEADS,
            num_warps=WARPS,
        )
    return q


@triton.jit
def _rotate_and_write(
    qkv,
    cos,
    sin,
    positions,
    write,
    keys,
    values,
    q,
    qkv_stride,
    keys_stride,
    values_stride,
    Q_HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    HEADS: tl.constexpr,
):
    """Heads of a row: the q's, then the k's, then the v's; each a pair of halves."""
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[:, None]
    lane = tl.arange(0, BLOCK)[None, :]
    inside = (head < Q_HEADS + 2 * KV_HEADS) & (lane < HALF)
    at = head * (2 * HALF) + lane
    x1 = tl.load(qkv + row * qkv_stride + at, mask=inside, other=0.0)
    x2 = tl.load(qkv + row * qkv_stride + at + HALF, mask=inside, other=0.0)

    angle = tl.load(positions + row).to(tl.int64) * (2 * HALF) + lane
    cos1 = tl.load(cos + angle, mask=lane < HALF, other=0.0)
    cos2 = tl.load(cos + angle + HALF, mask=lane < HALF, other=0.0)
    sin1 = tl.load(sin + angle, mask=lane < HALF, other=0.0)
    sin2 = tl.load(sin + angle + HALF, mask=lane < HALF, other=0.0)
    wide1, wide2 = x1.to(tl.float32), x2.to(tl.float32)
    dtype = q.dtype.element_ty
    y1 = (wide1 * cos1 - wide2 * sin1).to(dtype)
    y2 = (wide2 * cos2 + wide1 * sin2).to(dtype)

    is_q = inside & (head < Q_HEADS)
    q_at = q + row * (Q_HEADS * 2 * HALF) + at
    tl.store(q_at, y1, mask=is_q)
    tl.store(q_at + HALF, y2, mask=is_q)

    to = tl.load(write + row).to(tl.int64)
    is_key = inside & (head >= Q_HEADS) & (head < Q_HEADS + KV_HEADS) & (to >= 0)
    key_at = keys + to * keys_stride + at - Q_HEADS * 2 * HALF
    tl.store(key_at, y1, mask=is_key)
    tl.store(key_at + HALF, y2, mask=is_key)

    is_value = inside & (head >= Q_HEADS + KV_HEADS) & (to >= 0)
    value_at = values + to * values_stride + at - (Q_HEADS + KV_HEADS) * 2 * HALF
    tl.store(value_at, x1, mask=is_value)
    tl.store(value_at + HALF, x2, mask=is_value)
