"""What the small kernels launch, by case, for `ahead_of_time`."""

from functools import partial
from itertools import product

import torch
from torch import Tensor

from hotswap.model.gpu.kernels.activation import silu_mul
from hotswap.model.gpu.kernels.gather import pending
from hotswap.model.gpu.kernels.merge import merge
from hotswap.model.gpu.kernels.norm import rms_norm
from hotswap.model.gpu.kernels.rotary import rotate_and_write

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
# hidden, intermediate, heads, heads of the KV, their width: SmolLM2, Llama 3.2 1B, 3.1
# 8B and 70B
SHAPES = {
    "135m": (576, 1536, 9, 3, 64),
    "1b": (2048, 8192, 32, 8, 64),
    "8b": (4096, 14336, 32, 8, 128),
    "70b": (8192, 28672, 64, 8, 128),
}


def meta(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _step(shape: str, dtype: torch.dtype, rows: int) -> None:
    """All that a layer launches here, and the step's token ids."""
    hidden, intermediate, heads, kv_heads, width = SHAPES[shape]
    rms_norm(meta(rows, hidden, dtype=dtype), meta(hidden, dtype=dtype), 1e-5)
    silu_mul(meta(rows, 2 * intermediate, dtype=dtype))
    cos = sin = meta(8192, width, dtype=torch.float32)
    qkv = meta(rows, (heads + 2 * kv_heads) * width, dtype=dtype)
    keys = values = meta(250_000, kv_heads, width, dtype=dtype)
    rotate_and_write(qkv, cos, sin, meta(rows), meta(rows), keys, values, heads)
    pending(meta(rows), meta(rows), meta(256, dtype=torch.int64))


def _merge(dtype: torch.dtype, a: torch.dtype, b: torch.dtype, rank: int) -> None:
    """Of gate and up of 8B, stacked, where only up changes."""
    golden = meta(2 * 14336, 4096, dtype=dtype)
    factors = meta(rank, 4096, dtype=a), meta(14336, rank, dtype=b)
    merge(
        golden, [(slice(14336, 28672), *factors, 0.5)], meta(*golden.shape, dtype=dtype)
    )


LAUNCHES = {
    f"step {shape} {str(dtype)[6:]} rows {rows}": partial(_step, shape, dtype, rows)
    for shape, dtype, rows in product(SHAPES, DTYPES, (1, 64))
} | {
    f"merge {str(dtype)[6:]} a {str(a)[6:]} b {str(b)[6:]} rank {rank}": partial(
        _merge, dtype, a, b, rank
    )
    for dtype, a, b, rank in (
        *((dtype, dtype, dtype, rank) for dtype in DTYPES for rank in (3, 16, 64)),
        *((torch.bfloat16, a, b, 16) for a, b in product(DTYPES, DTYPES) if a != b),
        (torch.bfloat16, torch.float32, torch.float32, 16),
    )
}
