"""Graphs repeat addresses: the fake backend finds what a replay would get wrong."""

import logging

import pytest
import torch

from hotswap.model.gpu.buckets import Bucket
from hotswap.model.gpu.graphs import GraphKey, Graphs
from tests.hotswap.gpu.fake_graphs import FakeGraphs

KEY = GraphKey(0, is_mixed=False, bucket=Bucket("decode", 4, 4))


class Step:
    """y = x W + shift, on memory allocated once."""

    def __init__(self) -> None:
        self.x, self.y = torch.ones(2, 3), torch.zeros(2, 3)
        self.weight = torch.eye(3)
        self.shift = 1.0

    def __call__(self) -> None:
        self.y.copy_(self.x @ self.weight + self.shift)


def test_a_graph_is_captured_once_and_sees_what_its_memory_holds_now() -> None:
    backend, step = FakeGraphs(), Step()
    graphs = Graphs(backend)

    for value in (1.0, 2.0, 3.0):
        step.x.fill_(value)
        step.weight.copy_(value * torch.eye(3))
        graphs.run(KEY, step)

        assert step.y[0, 0] == value * value + 1
    assert (backend.captured, backend.replayed) == (1, 3)


def test_each_key_has_a_graph_of_its_own() -> None:
    backend, step = FakeGraphs(), Step()
    graphs = Graphs(backend)

    for key in (KEY, KEY._replace(weights_id=1), KEY._replace(is_mixed=True), KEY):
        graphs.run(key, step)

    assert backend.captured == len(graphs) == 3


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("weight", torch.eye(3)),  # the same values elsewhere: another adapter's slot
        ("x", torch.ones(2, 6)[:, ::2]),
        ("shift", 2.0),
    ],
)
def test_memory_or_a_number_that_changed_is_found(what: str, changed: object) -> None:
    step = Step()
    graphs = Graphs(FakeGraphs())
    graphs.run(KEY, step)

    setattr(step, what, changed)

    with pytest.raises(AssertionError, match="a graph was captured with"):
        graphs.run(KEY, step)


def test_work_that_waits_for_the_device_cannot_be_captured() -> None:
    with pytest.raises(AssertionError, match="in a graph"):
        Graphs(FakeGraphs()).run(KEY, lambda: print(torch.ones(1).item()))


def test_a_key_that_cannot_be_captured_runs_eager_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend, step = FakeGraphs(), Step()
    backend.refuses = True
    graphs = Graphs(backend)

    with caplog.at_level(logging.WARNING):
        for value in (1.0, 2.0):
            step.x.fill_(value)
            graphs.run(KEY, step)

    assert step.y[0, 0] == 3
    assert (backend.captured, backend.replayed) == (1, 0)
    assert (len(graphs), graphs.eager) == (0, 1)
    assert [record.getMessage() for record in caplog.records] == [
        f"no graph for {KEY}, it runs eager: "
        "injected: operation not permitted while capturing"
    ]
