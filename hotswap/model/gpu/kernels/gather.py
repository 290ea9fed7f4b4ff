"""Token ids that only the device knows yet. Not yet run on a GPU."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK, WARPS = 128, 4


def pending(ids: Tensor, source: Tensor, sampled: Tensor) -> Tensor:
    """ids [n], but where source [n] >= 0 the token sampled[source] -> [n] int32.

    ids, source: int32. sampled: [m] int64, what the step before has sampled.
    """
    out = torch.empty_like(ids)
    if rows := len(ids):
        grid = (triton.cdiv(rows, BLOCK),)
        _pending[grid](ids, source, sampled, out, rows, BLOCK=BLOCK, num_warps=WARPS)
    return out


@triton.jit(do_not_specialize=["rows"])
def _pending(ids, source, sampled, out, rows, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < rows
    taken = tl.load(source + at, mask=inside, other=-1)
    known = tl.load(ids + at, mask=inside, other=0)
    token = tl.load(sampled + taken, mask=taken >= 0, other=0).to(tl.int32)
    tl.store(out + at, tl.where(taken >= 0, token, known), mask=inside)
