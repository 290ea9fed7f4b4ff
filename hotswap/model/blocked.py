"""Blocked: merging a weight in the layout that oneDNN packs it in.

In float32 a packed [out, in] is blocks of 64 outputs, [out / 64, in, 64]. There the
update is one batched product, and a slot is written in one pass over golden, in place:
no scratch, no packing, no new memory. The layout is no documented API: it is looked for
in a packed matrix of the same shape, and where it is another there are no blocks.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import torch

from hotswap.adapters.deltas import Delta
from hotswap.model.kernels import Kernels

BLOCK = 64  # outputs


def blocks_of(packed: torch.Tensor, kernels: Kernels) -> torch.Tensor | None:
    """The memory of a weight that `kernels` prepared as [out / 64, in, 64]; None if it
    is laid out otherwise."""
    if not packed.is_mkldnn or packed.dtype is not torch.float32:
        return None
    return _view(packed) if _is_blocked(*packed.shape, kernels.prepare) else None


def merge_blocks(golden: torch.Tensor, delta: Delta, out: torch.Tensor) -> None:
    """Write `golden + scale * b @ a` to `out`, both [out / 64, in, 64], in float32.

    Mutates `out` only.
    """
    count, columns, _ = golden.shape
    b = delta.b.float().view(count, BLOCK, -1).transpose(1, 2)
    a = delta.a.float().t().expand(count, columns, -1)
    torch.baddbmm(golden, a, b, alpha=delta.scale, out=out)


@cache
def _is_blocked(
    rows: int, columns: int, prepare: Callable[[torch.Tensor], torch.Tensor]
) -> bool:
    """Whether a weight of this shape is laid out in blocks."""
    ops = torch.ops.mkldnn
    if rows % BLOCK or not hasattr(ops, "data_ptr"):
        return False
    random = torch.Generator().manual_seed(0)
    weight = torch.rand(rows, columns, generator=random)
    packed = prepare(weight)
    if ops._nbytes(packed) != weight.nbytes:  # padded
        return False
    wanted = weight.view(-1, BLOCK, columns).transpose(1, 2)
    return torch.equal(_view(packed), wanted)


def _view(packed: torch.Tensor) -> torch.Tensor:
    ops = torch.ops.mkldnn
    memory = (ctypes.c_byte * ops._nbytes(packed)).from_address(ops.data_ptr(packed))
    memory.packed = packed  # lives as long as the view
    flat = torch.frombuffer(memory, dtype=torch.float32)
    return flat.view(-1, packed.shape[1], BLOCK)
