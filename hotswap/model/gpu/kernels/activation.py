"""The activation between two Linears of a Llama's MLP. Not yet run on a GPU."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK, WARPS = 1024, 4


def silu_mul(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of [n, 2 m], gate in the first half of a row -> [n, m].

    In float32, rounded once (transformers rounds silu(gate), too).
    """
    rows, columns = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty(rows, columns, dtype=gate_up.dtype, device=gate_up.device)
    if rows:
        grid = (rows, triton.cdiv(columns, BLOCK))
        _silu_mul[grid](
            gate_up, out, gate_up.stride(0), columns, BLOCK=BLOCK, num_warps=WARPS
        )
    return out


@triton.jit
def _silu_mul(gate_up, out, stride, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < columns
    start = gate_up + row * stride + at
    gate = tl.load(start, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(start + columns, mask=inside, other=0.0).to(tl.float32)
    product = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * columns + at, product.to(out.dtype.element_ty), mask=inside)
