"""Merge: golden and an update -> a merged weight, summed in float32, rounded once."""

import torch

from hotswap.adapters.deltas import Delta

# float32 scratch of a tile stays in a core's cache at usual widths.
_TILE_BYTES = 1 << 20


def merge(golden: torch.Tensor, delta: Delta, out: torch.Tensor) -> None:
    """Write `round(golden + scale * b @ a)` to `out` [out, in]. Mutates `out` only."""
    if _is_exact(golden) and golden.dtype == delta.a.dtype == delta.b.dtype:
        torch.addmm(golden, delta.b, delta.a, alpha=delta.scale, out=out)
    else:
        _merge_tiles(golden, delta, out)


def _is_exact(golden: torch.Tensor) -> bool:
    """Whether torch's product accumulates in float32 and rounds its sum once.

    oneDNN's does; the fall-back for a CPU without bfloat16 units need not.
    """
    if golden.device.type != "cpu":
        return False
    return golden.dtype is torch.float32 or (
        golden.dtype is torch.bfloat16
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _merge_tiles(golden: torch.Tensor, delta: Delta, out: torch.Tensor) -> None:
    b = delta.b.to(golden.device, torch.float32)
    a = delta.a.to(golden.device, torch.float32)
    rows = max(1, _TILE_BYTES // (4 * golden.shape[1]))
    for start in range(0, golden.shape[0], rows):
        part = slice(start, start + rows)
        tile = golden[part].to(torch.float32, copy=True)
        out[part] = tile.addmm_(b[part], a, alpha=delta.scale)
