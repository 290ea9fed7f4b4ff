"""Device: what building slots needs of the machine's memory and of its order of work.

Slots are built on the *side*: on a GPU a stream of its own, so that a slot is built
while steps run; on the CPU there is none, and whatever was asked for is done when the
call returns. An event, CUDA's word, tells whether the side has come to it.

How memory stays right on a GPU, without `record_stream`: all that is allocated on the
side returns to the side's own pool, and `side` begins by waiting for the steps queued
so far. So no buffer is written anew while an earlier step may still read it. In the
other direction nobody reads a buffer before an event after its last write is done.

`Cuda` was never run by those who wrote it: they had no GPU. The tests marked `gpu` are
what it has to pass.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, Self

import torch


class Event(Protocol):
    """A point in the side's work."""

    def is_done(self) -> bool:
        """Whether all that was queued before it is done."""

    def wait(self) -> None:
        """Block until it is."""

    def since(self, earlier: Self) -> float:
        """Seconds of the side's work between two events that are done."""


class Device(Protocol):
    @property
    def is_host(self) -> bool:
        """Whether the model computes in host memory."""

    @property
    def max_batch(self) -> int:
        """Jobs in one step, when nobody said how many."""

    @property
    def prefill_tokens(self) -> int:
        """Prompt tokens in one step, when nobody said how many."""

    @property
    def tile_bytes(self) -> int:
        """How much float32 scratch a merge should take at once."""

    def budget_bytes(self) -> int:
        """What may be spent when nobody said how much."""

    def kept(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy in host memory that the device reads without the CPU's help; the
        tensor itself if it is there."""

    def sent(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor of host memory on the device, for the work queued after it."""

    def side(self) -> AbstractContextManager[None]:
        """Within it, work is queued on the side, after the steps queued so far."""

    def record(self) -> Event: ...
    def mark(self) -> Event:
        """A point in the steps' own work, not in the side's."""

    def staging(self, words: int) -> torch.Tensor:
        """[words] int32 of host memory that the device reads and writes by itself."""

    def finish(self) -> None:
        """Block until the steps queued so far are done. The side may go on."""


class HostEvent:
    def __init__(self) -> None:
        self._at = time.perf_counter()

    def is_done(self) -> bool:
        return True

    def wait(self) -> None: ...
    def since(self, earlier: "HostEvent") -> float:
        return self._at - earlier._at


class Host:
    is_host = True
    # A CPU's step grows with its rows from the first one on.
    max_batch = 16
    prefill_tokens = 256
    tile_bytes = 1 << 20  # stays in a core's cache

    def budget_bytes(self) -> int:
        return free_host_bytes() // 2

    def kept(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def sent(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def side(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self) -> HostEvent:
        return HostEvent()

    def mark(self) -> HostEvent:
        return HostEvent()

    def staging(self, words: int) -> torch.Tensor:
        return torch.zeros(words, dtype=torch.int32)

    def finish(self) -> None: ...


class CudaEvent:
    def __init__(self, event: torch.cuda.Event) -> None:
        self._event = event

    def is_done(self) -> bool:
        return bool(self._event.query())

    def wait(self) -> None:
        self._event.synchronize()

    def since(self, earlier: "CudaEvent") -> float:
        return float(earlier._event.elapsed_time(self._event)) / 1e3


class Cuda:
    is_host = False
    # Up to about these a step costs little more than its weights' bytes.
    max_batch = 256
    prefill_tokens = 2048
    # A launch costs more than a cache saves; this bounds the scratch.
    tile_bytes = 64 << 20

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device)

    def budget_bytes(self) -> int:
        """Nobody else is expected on the device; the rest is for activations."""
        torch.cuda.empty_cache()  # what loading left behind is free for all
        return int(torch.cuda.mem_get_info(self._device)[0]) // 8 * 7

    def kept(self, tensor: torch.Tensor) -> torch.Tensor:
        """torch rounds pinned blocks up to a power of two."""
        return tensor.cpu().pin_memory()

    def sent(self, tensor: torch.Tensor) -> torch.Tensor:
        """Through pinned memory: a copy from other memory would wait for the whole side
        first. torch gives the pinned block to nobody else until the copy is done."""
        return tensor.pin_memory().to(self._device, non_blocking=True)

    @contextmanager
    def side(self) -> Iterator[None]:
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            yield

    def record(self) -> CudaEvent:
        event = torch.cuda.Event(enable_timing=True)
        event.record(self._side)
        return CudaEvent(event)

    def mark(self) -> CudaEvent:
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        return CudaEvent(event)

    def staging(self, words: int) -> torch.Tensor:
        return torch.zeros(words, dtype=torch.int32, pin_memory=True)

    def finish(self) -> None:
        torch.cuda.current_stream(self._device).synchronize()


def device_of(model_device: torch.device) -> Device:
    """Anything but a CUDA device works in the order it is told, as the CPU does."""
    return Cuda(model_device) if model_device.type == "cuda" else Host()


def free_host_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
