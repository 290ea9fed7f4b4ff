"""Where a part of the visit runs, and how it times."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

Figures = Iterator[tuple[str, object]]
"""Names and values, as they are found."""

_FLUSH_BYTES = 256 << 20  # five times an H100's L2 cache


@dataclass(frozen=True)
class Setting:
    """`tiny`: shapes that a CPU computes in no time."""

    device: torch.device
    tiny: bool

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def finish(self) -> None:
        """Wait for the device."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def milliseconds(self, work: Callable[[], object], rounds: int = 15) -> float:
        """Median of one call's time on the device, with a cold L2 cache.

        Captured in a graph, as in a step: the host's part is not in it."""
        work()  # compiles
        if not self.is_cuda:
            start = time.perf_counter()
            work()
            return (time.perf_counter() - start) * 1e3
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        flush = torch.empty(_FLUSH_BYTES, dtype=torch.int8, device=self.device)
        begins, ends = _events(rounds), _events(rounds)
        for begin, end in zip(begins, ends, strict=True):
            flush.zero_()
            begin.record()
            graph.replay()
            end.record()
        self.finish()
        pairs = zip(begins, ends, strict=True)
        return float(statistics.median(one.elapsed_time(two) for one, two in pairs))

    def wall_ms(self, work: Callable[[], object], rounds: int = 5) -> float:
        """Median of one call's time by the clock, the device's work included."""
        found = []
        for _ in range(1 if self.tiny else rounds):
            self.finish()
            start = time.perf_counter()
            work()
            self.finish()
            found.append((time.perf_counter() - start) * 1e3)
        return statistics.median(found)


def _events(count: int) -> list[Any]:
    made: Any = torch.cuda.Event
    return [made(enable_timing=True) for _ in range(count)]
