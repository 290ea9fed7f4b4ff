"""The kernels in plain torch: what the GPU executor's own tests run with on a CPU.

Same signatures, same roundings; attention's and LoRA's are in files of their own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Update = tuple[slice, Tensor, Tensor, float]


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return (normed.to(x.dtype).float() * weight.float()).to(x.dtype)


def silu_mul(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.float().chunk(2, dim=-1)
    return (F.silu(gate) * up).to(gate_up.dtype)


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
    kv_heads, width = keys.shape[1:]
    parts = qkv.view(len(qkv), -1, width)
    q, k, v = torch.split(parts, [heads, kv_heads, kv_heads], dim=1)
    angles = cos[positions.long()][:, None], sin[positions.long()][:, None]
    written = (write >= 0).nonzero()[:, 0]
    keys[write[written].long()] = _rotate(k, *angles)[written]
    values[write[written].long()] = v[written]
    return _rotate(q, *angles)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    wide = x.float()
    one, other = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat([-other, one], dim=-1) * sin).to(x.dtype)


def pending(ids: Tensor, source: Tensor, sampled: Tensor) -> Tensor:
    taken = sampled[source.long().clamp(min=0)].to(ids.dtype)
    return torch.where(source >= 0, taken, ids)


def merge(golden: Tensor, updates: Sequence[Update], out: Tensor) -> None:
    merged = golden.to(torch.float32, copy=True)
    for rows, a, b, scale in updates:
        merged[rows] += scale * (b.float() @ a.float())
    out.copy_(merged.to(golden.dtype))
