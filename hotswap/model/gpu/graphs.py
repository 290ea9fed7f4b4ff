"""Graphs: a step's whole work on the device, recorded once and launched as one.

CUDA graphs (Nguyen 2021, "Accelerating PyTorch with CUDA graphs"; vLLM's and SGLang's
decoding): launching a layer's ten kernels from Python takes longer than running them.
A graph repeats addresses, not names: whatever it reads is allocated once and never
re-pointed, or it would go on with the old memory and answer from another adapter. The
tests' backend asserts it. Not yet run on a GPU.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from hotswap.model.gpu.buckets import Bucket

log = logging.getLogger(__name__)

# torch documents a few: libraries choose their algorithms, allocators find their sizes.
_WARM_UP_RUNS = 2

Work = Callable[[], None]
"""Launches work that reads and writes memory allocated once. Doing it again does the
same."""


class GraphKey(NamedTuple):
    """`weights_id`: 0 for golden, 1 + n for slot n."""

    weights_id: int
    is_mixed: bool
    bucket: Bucket


class GraphBackend(Protocol):
    def capture(self, work: Work) -> Work:
        """What repeats `work`, which it may run some times before. Raises if the device
        cannot record it."""


class CudaGraphs:
    """All graphs take what they compute in between from one pool: they run one after
    another."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream(device)
        self._failed: list[torch.cuda.CUDAGraph] = []

    def capture(self, work: Work) -> Work:
        steps = torch.cuda.current_stream(self._device)
        self._side.wait_stream(steps)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(self._side):
                for _ in range(_WARM_UP_RUNS):
                    work()
            steps.wait_stream(self._side)
            # thread_local: other threads read adapters into pinned memory meanwhile.
            with torch.cuda.graph(
                graph,
                pool=self._pool,
                stream=self._side,
                capture_error_mode="thread_local",
            ):
                work()
        except BaseException:
            # torch's allocator may go on asking it whether an allocation is its own.
            self._failed.append(graph)
            raise
        finally:  # a capture that failed leaves its own stream current
            torch.cuda.set_stream(steps)
        return graph.replay


class Graphs:
    """By key, captured when first run."""

    def __init__(self, backend: GraphBackend) -> None:
        self._backend = backend
        self._replays: dict[GraphKey, Work] = {}
        self.eager = 0  # keys that could not be captured

    def __len__(self) -> int:
        """How many were captured."""
        return len(self._replays) - self.eager

    def run(self, key: GraphKey, work: Work) -> None:
        """Launch `work` as one graph. It is the same for the same key. A key that
        cannot be captured runs `work` itself from then on."""
        replay = self._replays.get(key)
        if replay is None:
            replay = self._replays[key] = self._captured(key, work)
        replay()

    def _captured(self, key: GraphKey, work: Work) -> Work:
        try:
            return self._backend.capture(work)
        except RuntimeError as error:  # torch's class for all that a device refuses
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            log.warning("no graph for %s, it runs eager: %s", key, reason)
            self.eager += 1
            return work
