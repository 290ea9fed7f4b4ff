"""Timed read: reads an adapter's folder, and notes how long that took."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from hotswap.adapters.generation import Generation
from hotswap.engine.latencies import Histogram


class TimedRead:
    """As `read`, on any thread. `seconds`: of the reads that found a generation."""

    def __init__(self, read: Callable[[Path], Generation]) -> None:
        self._read = read
        self._lock = threading.Lock()  # several are read at once
        self.seconds = Histogram()

    def __call__(self, folder: Path) -> Generation:
        began = time.monotonic()
        generation = self._read(folder)
        took = time.monotonic() - began
        with self._lock:
            self.seconds.observe(took)
        return generation
