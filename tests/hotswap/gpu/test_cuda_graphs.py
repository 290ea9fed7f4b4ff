"""What CudaGraphs asks of torch, in which order, and what a failed capture leaves."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from hotswap.model.gpu.graphs import CudaGraphs

STEPS, SIDE = "steps", "side"


class Cuda:
    """`torch.cuda`, noting what is done: streams are names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.current, self.is_captured, self.fails = STEPS, False, False
        notes = self

        class Stream:
            def __init__(self, name: object) -> None:
                self.name = name if isinstance(name, str) else SIDE

            def wait_stream(self, other: "Stream") -> None:
                notes.done.append(f"{self.name} waits for {other.name}")

        class Graph:
            def replay(self) -> None: ...

        def current(_: object) -> Stream:
            return Stream(self.current)

        def set_stream(stream: Stream) -> None:
            self.current = str(stream.name)

        for name, made in {
            "Stream": Stream,
            "CUDAGraph": Graph,
            "graph_pool_handle": lambda: (0, 1),
            "current_stream": current,
            "set_stream": set_stream,
            "stream": self._stream,
            "graph": self._graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, made)

    @contextmanager
    def _stream(self, stream: object) -> Iterator[None]:
        before, self.current = self.current, SIDE
        yield
        self.current = before

    @contextmanager
    def _graph(
        self, graph: object, *, pool: object, stream: object, capture_error_mode: str
    ) -> Iterator[None]:
        """As torch's: it leaves its stream current if the end of a capture fails."""
        assert capture_error_mode == "thread_local"
        self.current, self.is_captured = SIDE, True
        yield
        self.is_captured = False
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.current = STEPS


def test_work_is_warm_before_it_is_captured_and_the_steps_wait_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda(monkeypatch)

    def work() -> None:
        cuda.done.append(f"{'captured' if cuda.is_captured else 'run'} {cuda.current}")

    CudaGraphs(torch.device("cuda")).capture(work)

    assert cuda.done == [
        "side waits for steps",
        "run side",
        "run side",
        "steps waits for side",
        "captured side",
    ]
    assert cuda.current == STEPS


def test_after_a_failed_capture_steps_run_where_they_did_and_its_graph_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda(monkeypatch)
    cuda.fails = True
    graphs = CudaGraphs(torch.device("cuda"))

    with pytest.raises(RuntimeError, match="not permitted"):
        graphs.capture(lambda: None)

    assert cuda.current == STEPS
    assert len(graphs._failed) == 1
