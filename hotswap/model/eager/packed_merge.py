"""PackedMerge: merging a weight in the layout that it is packed in.

A packed [out, in] is blocks of outputs, [out / block, in, block], and a slot is written
in one pass over golden, in place: no scratch, no packing, no new memory. `Widening`
knows its layout and merges by itself. oneDNN's in float32 is merged by one batched
product. It is no documented API, and it depends on the shape and the number of threads:
it is looked for in a packed matrix with the same descriptor, and where it is another
there are no blocks.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import torch

from hotswap.adapters.generation import Delta
from hotswap.model.machine.kernels import Kernels
from hotswap.model.machine.widening import Widening

_OPS = ("data_ptr", "_nbytes", "_get_mkldnn_serialized_md")
_BLOCKS = (64, 48, 32, 24, 16, 8)  # outputs; one is whole vectors of some CPU


def blocks_of(packed: torch.Tensor, kernels: Kernels) -> torch.Tensor | None:
    """The memory of a weight that `kernels` packed as [out / block, in, block]; None
    if it is laid out otherwise."""
    if isinstance(kernels, Widening):
        return kernels.blocks(packed)
    if not packed.is_mkldnn or packed.dtype is not torch.float32:
        return None
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPS):
        return None
    block = _block(packed.shape, _descriptor(packed), kernels.pack)
    return None if block is None else _view(packed, block)


def merge_packed(
    golden: torch.Tensor, delta: Delta, out: torch.Tensor, kernels: Kernels
) -> None:
    """Write `golden + scale * b @ a` to `out`, both [out / block, in, block], summed in
    float32 and rounded once. Mutates `out` only."""
    if isinstance(kernels, Widening):
        kernels.merge(golden, delta, out)
        return
    count, columns, block = golden.shape
    b = delta.b.float().view(count, block, -1).transpose(1, 2)
    a = delta.a.float().t().expand(count, columns, -1)
    torch.baddbmm(golden, a, b, alpha=delta.scale, out=out)


@cache
def _block(
    shape: torch.Size,
    descriptor: bytes,
    pack: Callable[[torch.Tensor], torch.Tensor],
) -> int | None:
    """Outputs in a block of a weight with this shape and descriptor."""
    random = torch.Generator().manual_seed(0)
    weight = torch.rand(shape, generator=random)
    packed = pack(weight)
    # Padded, or packed otherwise than before: with another number of threads
    if _nbytes(packed) != weight.nbytes or _descriptor(packed) != descriptor:
        return None
    for block in _BLOCKS:
        if shape[0] % block == 0:
            wanted = weight.view(-1, block, shape[1]).transpose(1, 2)
            if torch.equal(_view(packed, block), wanted):
                return block
    return None


def _descriptor(packed: torch.Tensor) -> bytes:
    ops = torch.ops.mkldnn
    return bytes(ops._get_mkldnn_serialized_md(packed).numpy())


def _nbytes(packed: torch.Tensor) -> int:
    return int(torch.ops.mkldnn._nbytes(packed))


def _view(packed: torch.Tensor, block: int) -> torch.Tensor:
    address = torch.ops.mkldnn.data_ptr(packed)
    memory = (ctypes.c_byte * _nbytes(packed)).from_address(address)
    memory.packed = packed  # type: ignore[attr-defined]  # lives as long as the view
    flat = torch.frombuffer(memory, dtype=torch.float32)
    return flat.view(-1, packed.shape[1], block)
