"""Kernels: what the GPU executor computes with, as one value.

On a GPU they are Triton's (`kernels/triton_kernels`); tests on a CPU hand in plain
torch. Each launches work and returns; none waits for the device or reads a value back,
and what it launches depends on shapes alone, so that a CUDA graph may hold it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Sums in float32, rounded once. Shapes by example: n rows, h heads, k of KV."""

    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    """x [n, d], weight [d], eps -> [n, d]"""
    silu_mul: Callable[[Tensor], Tensor]
    """[n, 2 m] -> [n, m]: silu of the first half, times the second"""
    rotate_and_write: Callable[..., Tensor]
    """qkv [n, (h + 2 k) d], cos, sin, positions, write, keys, values, heads -> q
    [n, h, d]. Mutates the arenas; a row with `write` < 0 writes nothing."""
    pending: Callable[[Tensor, Tensor, Tensor], Tensor]
    """ids [n], source [n], sampled [m] -> ids [n], those of `sampled` where
    source >= 0"""
    merge: Callable[..., None]
    """golden [out, in], updates, out = `round(golden + scale * b @ a)`"""
    attend: Callable[..., Tensor]
    """q [n, h, d], keys, values, AttentionTable, scaling, window -> [n, h, d]"""
    shrink: Callable[..., Tensor]
    """x [n, in], a_pool, LoraTable -> x A of the rows' own adapters"""
    expand_add: Callable[..., Tensor]
    """h, b_pool, LoraTable, y [n, out]: adds h B to y in place"""
