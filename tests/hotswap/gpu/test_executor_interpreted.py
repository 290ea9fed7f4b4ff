"""A whole step with the Triton kernels, in their interpreter: the parts fit."""

from pathlib import Path

import pytest
import torch

from hotswap.model.network.rows import Row
from hotswap.sampling_params import SamplingParams
from tests.hotswap.gpu.executors import (
    PROMPT,
    adapters,
    executor_of,
    loaded,
    scattered,
)
from tests.hotswap.gpu.fake_graphs import FakeGraphs

pytest.importorskip("triton")
from hotswap.model.gpu.kernels.triton_kernels import KERNELS

pytestmark = [
    pytest.mark.skipif(
        torch.cuda.is_available(), reason="the other tests run them on the device"
    ),
    # Rows that fill a step up hold what the memory held: numpy warns of it.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.mark.slow
def test_a_merged_chunk_and_a_mixed_step_are_those_of_plain_torch(
    tmp_path: Path,
) -> None:
    graphs = FakeGraphs()
    graphs.refuses = True  # a capture would run each step twice
    interpreted = executor_of(loaded(), graphs, kernels=KERNELS)
    one, other = adapters(tmp_path, interpreted, 2)
    found: list[list[torch.Tensor]] = [[], []]
    for executor, logits in zip(
        (interpreted, executor_of(loaded())), found, strict=True
    ):

        def row(job: int, start: int, stop: int) -> Row:
            return Row(
                job=job,
                tokens=PROMPT[start:stop],
                position=start,
                generation=one if job == 1 else other,
                wants_logits=True,
                blocks=scattered(job, 8),
            )

        for job in (1, 2):
            executor.open(job, SamplingParams())
        executor.weights.activate(one)
        logits.append(executor.forward([row(1, 0, 3)], mixed=False))
        executor.weights.activate(None)
        logits.append(executor.forward([row(1, 3, 4), row(2, 0, 1)], mixed=True))

    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)
