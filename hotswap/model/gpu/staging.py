"""Staging: what a step needs to know goes to the device in one copy, without waiting.

Two buffers in pinned host memory take turns: the device may still read the one while
the next step is written into the other. Their twin on the device is one, at one
address for ever: steps run one after another. Of a step's last field, which may be
large, as much is sent as was written. Not yet run on a GPU.
"""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np
import torch

from hotswap.model.machine.device import Device, Event

Shapes = Mapping[str, tuple[int, ...]]
"""Of int32 fields, by name, in their order in the buffer."""

_Written = tuple[dict[str, np.ndarray], int]
"""A step's fields in one of the buffers, and where the last of them begins."""

_ALIGNED = 16  # words: every field at a multiple of 64 bytes, as kernels like it


class Staging:
    """Owned by the engine thread. `words`: int32, the most that a step needs."""

    def __init__(self, device: Device, where: torch.device, words: int) -> None:
        self._device = device
        self._hosts = [device.staging(words) for _ in range(2)]
        self._sent: list[Event | None] = [None, None]
        self._twin = torch.zeros(words, dtype=torch.int32, device=where)
        self._turn = 0
        self._written: dict[tuple[int, tuple[object, ...]], _Written] = {}
        self._last = 0  # where the last field of what was written begins

    def write(self, shapes: Shapes) -> dict[str, np.ndarray]:
        """The fields of the next step, to be written. They hold what they may."""
        self._turn = 1 - self._turn
        sent = self._sent[self._turn]
        if sent is not None:
            sent.wait()  # over long ago, unless two steps are in the air
        key = (self._turn, tuple(shapes.items()))
        if key not in self._written:
            host = self._hosts[self._turn].numpy()
            found = places(shapes)
            views = {
                name: host[place].reshape(shape)
                for (name, shape), place in zip(shapes.items(), found, strict=True)
            }
            self._written[key] = views, found[-1].start
        views, self._last = self._written[key]
        return views

    def send(self, used: int) -> None:
        """Queue the copy of what was written. `used`: words of the last field; what
        the device has behind them stays."""
        words = self._last + used
        host = self._hosts[self._turn]
        self._twin[:words].copy_(host[:words], non_blocking=True)
        self._sent[self._turn] = self._device.mark()

    def read(self, shapes: Shapes) -> dict[str, torch.Tensor]:
        """The fields on the device: the same memory for the same shapes."""
        return {
            name: self._twin[place].view(shape)
            for (name, shape), place in zip(shapes.items(), places(shapes), strict=True)
        }


def places(shapes: Shapes) -> list[slice]:
    """Where each field lies."""
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    ends = accumulate(-(-size // _ALIGNED) * _ALIGNED for size in sizes)
    return [
        slice(start, start + size)
        for start, size in zip([0, *ends], sizes, strict=False)
    ]


def words_of(shapes: Shapes) -> int:
    """How many words they take, gaps included."""
    return max((place.stop for place in places(shapes)), default=0)
