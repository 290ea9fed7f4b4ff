"""No silent base, nobody else's answer: graphs read slots whatever was swapped."""

import random
from pathlib import Path

import pytest
import torch

from hotswap.adapters.generation import Generation
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.gpu.linear import GpuLinear, LinearTensors
from hotswap.model.network.rows import Row
from hotswap.sampling_params import SamplingParams
from scheduler import BASE
from tests.hotswap.gpu.executors import (
    PROMPT,
    adapters,
    executor_of,
    loaded,
    scattered,
)
from tests.hotswap.gpu.fake_graphs import FakeGraphs

SWAPS = 1000


def answer(
    executor: GpuExecutor, generation: Generation | None, *, mixed: bool = False
) -> torch.Tensor:
    """[vocab] after one token of job 0, in a step that a graph serves."""
    row = Row(
        job=0,
        tokens=PROMPT[:1],
        position=0,
        generation=generation,
        wants_logits=True,
        blocks=scattered(0, 8),
    )
    return executor.forward([row], mixed=mixed)[0].cpu()


def slots_of(executor: GpuExecutor) -> list[torch.Tensor]:
    linears = executor.weights.swappables
    return [s.weight.cpu().clone() for s in linears if isinstance(s, GpuLinear)]


@pytest.mark.slow
def test_after_1000_swaps_golden_is_golden_and_every_answer_the_right_adapters(
    device: torch.device, tmp_path: Path
) -> None:
    executor = executor_of(loaded(place=device), slots=2)
    generations: list[Generation | None] = [None, *adapters(tmp_path, executor, 5)]
    executor.open(0, SamplingParams())
    checksum = executor.weights.checksum()
    wanted, slots = {}, {}
    for generation in generations:  # each in a slot that was never used
        fresh = executor_of(loaded(place=device))
        fresh.open(0, SamplingParams())
        fresh.weights.activate(generation)
        wanted[generation] = answer(fresh, generation)
        slots[generation] = slots_of(fresh)
    choices = random.Random(0)

    for swap in range(SWAPS):
        generation = choices.choice(generations)
        match choices.randrange(8):
            case 0:
                executor.weights.activate(None)
                found = answer(executor, generation, mixed=True)
                torch.testing.assert_close(found, wanted[generation], atol=1e-4, rtol=0)
                continue
            case 1 if generation is not None:
                executor.weights.build_ahead(generation, 0.0)
            case 2 if generation is not None:
                executor.forget(generation.key)
            case _:
                pass
        executor.weights.activate(generation)

        found = answer(executor, generation)

        assert torch.equal(found, wanted[generation]), f"swap {swap}"
        if swap % 100 == 0:
            for now, then in zip(slots_of(executor), slots[generation], strict=True):
                assert torch.equal(now, then), "a slot depends on its history"
    executor.weights.activate(None)
    assert executor.weights.resident == BASE
    assert executor.weights.checksum() == checksum
    gaps = [(wanted[g] - wanted[None]).abs().max() for g in generations[1:]]
    assert min(gaps) > 1e-2, "an adapter that does nothing"


def test_a_slot_that_is_pointed_elsewhere_is_found(tmp_path: Path) -> None:
    """The worst fault: a graph would go on reading the old memory, and answer from the
    adapter that was there."""
    graphs = FakeGraphs()
    executor = executor_of(loaded(), graphs)
    one, other = adapters(tmp_path, executor, 2)
    executor.open(0, SamplingParams())
    executor.weights.activate(one)
    answer(executor, one)
    linear = next(s for s in executor.weights.swappables if isinstance(s, GpuLinear))
    executor.weights.activate(other)
    answer(executor, other)

    moved = LinearTensors(linear.weight.clone(), linear.bias)
    linear.point(moved)

    with pytest.raises(AssertionError, match="a graph was captured with"):
        answer(executor, other)
    assert graphs.captured == 1


def test_golden_and_each_slot_have_graphs_of_their_own(tmp_path: Path) -> None:
    graphs = FakeGraphs()
    executor = executor_of(loaded(), graphs, slots=2)
    one, other = adapters(tmp_path, executor, 2)
    executor.open(0, SamplingParams())

    for generation in (None, one, other) * 3:
        executor.weights.activate(generation)
        answer(executor, generation)
    executor.weights.activate(None)
    for generation in (None, one, other):
        answer(executor, generation, mixed=True)

    assert graphs.captured == 4
    assert graphs.replayed == 12


def test_warm_up_captures_all_that_serving_needs(tmp_path: Path) -> None:
    graphs = FakeGraphs()
    executor = executor_of(loaded(), graphs, slots=2, max_batch=4)

    executor.warm_up()

    captured = graphs.captured
    assert captured == (1 + 2 + 1) * (3 + 4)  # golden, two slots, mixed; 1, 2, 4 and
    assert executor.weights.resident == BASE  # four ragged buckets
    assert executor.weights.warm == {BASE}
    executor.open(0, SamplingParams())
    for generation in (None, *adapters(tmp_path, executor, 3)):
        executor.weights.activate(generation)
        answer(executor, generation)
    assert graphs.captured == captured
