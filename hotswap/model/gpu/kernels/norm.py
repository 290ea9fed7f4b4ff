"""RMS norm, as transformers' LlamaRMSNorm computes it. Not yet run on a GPU."""

import torch
import triton
import triton.language as tl
from torch import Tensor

WIDE, WARPS, WARPS_IF_WIDE = 2048, 4, 8  # a row wider than WIDE gets more warps


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight for each row of x [n, d] -> [n, d].

    weight: [d], of x's type. In float32 but for one rounding to x's type before the
    weight, where LlamaRMSNorm has it. A row is read once.
    """
    rows, columns = x.shape
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if rows:
        _rms_norm[(rows,)](
            x,
            weight,
            out,
            eps,
            x.stride(0),
            columns,
            BLOCK=triton.next_power_of_2(columns),
            num_warps=WARPS if columns <= WIDE else WARPS_IF_WIDE,
        )
    return out


@triton.jit
def _rms_norm(x, weight, out, eps, x_stride, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    numbers = tl.load(x + row * x_stride + at, mask=inside, other=0.0).to(tl.float32)
    scales = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(numbers * numbers, axis=0) / columns
    dtype = out.dtype.element_ty
    normed = (numbers * tl.rsqrt(mean + eps)).to(dtype).to(tl.float32)
    tl.store(out + row * columns + at, (normed * scales).to(dtype), mask=inside)
