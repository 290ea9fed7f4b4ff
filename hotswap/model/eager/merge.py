"""Merge: golden and an update -> a merged weight, summed in float32, rounded once."""

import torch

from hotswap.adapters.generation import Delta
from hotswap.model.machine.device import Device


def merge(
    golden: torch.Tensor, delta: Delta, out: torch.Tensor, device: Device
) -> None:
    """Write `round(golden + scale * b @ a)` to `out` [out, in]. Mutates `out` only.

    Golden may be in host memory, `out` is where the model computes.
    """
    a, b = device.sent(delta.a), device.sent(delta.b)
    if golden.dtype is torch.float32:
        a, b = a.float(), b.float()
    if _is_exact(golden, out) and golden.dtype == a.dtype == b.dtype:
        torch.addmm(golden, b, a, alpha=delta.scale, out=out)
        return
    a, b = a.float(), b.float()
    rows = max(1, device.tile_bytes // (4 * golden.shape[1]))
    for start in range(0, golden.shape[0], rows):
        part = slice(start, start + rows)
        # First to the device, then to float32: the other way the CPU would convert.
        here = golden[part].to(out.device, non_blocking=True)
        tile = here.to(torch.float32, copy=True)
        out[part] = tile.addmm_(b[part], a, alpha=delta.scale)


def _is_exact(golden: torch.Tensor, out: torch.Tensor) -> bool:
    """Whether torch's product accumulates in float32 and rounds its sum once.

    oneDNN's does; the fall-back for a CPU without bfloat16 units need not.
    """
    if golden.device.type != "cpu" or out.device.type != "cpu":
        return False
    return golden.dtype is torch.float32 or (
        golden.dtype is torch.bfloat16
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
