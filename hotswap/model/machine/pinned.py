"""Pinned: an adapter's factors in one block that the device reads by itself.

From ordinary memory each of some hundred factors would be copied by the CPU first, on
the engine's thread, in the middle of a swap. Not yet run on a GPU.
"""

from dataclasses import replace
from itertools import accumulate

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.machine.device import Device

_ALIGNED = 64  # bytes: of any type, and what a copy likes


def pinned(generation: Generation, device: Device) -> Generation:
    """The same generation; its factors are copies in one block, each as it was."""
    if device.is_host or not generation.deltas:
        return generation
    factors = [t for d in generation.deltas.values() for t in (d.a, d.b)]
    sizes = [-(-factor.nbytes // _ALIGNED) * _ALIGNED for factor in factors]
    block = device.kept(torch.empty(sum(sizes), dtype=torch.uint8))
    copies = []
    for factor, end, size in zip(factors, accumulate(sizes), sizes, strict=True):
        place = block[end - size : end - size + factor.nbytes]
        copies.append(place.view(factor.dtype).view(factor.shape).copy_(factor))
    pairs = zip(copies[::2], copies[1::2], strict=True)
    deltas = {
        path: Delta(a=a, b=b, scale=delta.scale)
        for (path, delta), (a, b) in zip(generation.deltas.items(), pairs, strict=True)
    }
    return replace(generation, deltas=deltas)
