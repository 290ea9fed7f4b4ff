"""The GPU executor's logits are PEFT's and transformers' own, in every way it runs."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from hotswap.adapters.generation import Generation
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.network.rows import Row
from hotswap.sampling_params import SamplingParams
from tests import tiny
from tests.hotswap.gpu.executors import (
    PROMPT,
    adapters,
    executor_of,
    loaded,
    scattered,
)

PIECES = [(0, 3), (3, 6), *((n, n + 1) for n in range(6, len(PROMPT)))]


def logits(
    executor: GpuExecutor,
    generations: list[Generation | None],
    *,
    mixed: bool,
    late: int = 0,
) -> torch.Tensor:
    """[jobs, positions, vocab]: the same prompt for each, in chunks and then token by
    token; each job begins `late` steps after the one before."""
    for job in range(len(generations)):
        executor.open(job, SamplingParams())
    found: list[list[torch.Tensor]] = [[] for _ in generations]
    for step in range(len(PIECES) + late * len(generations)):
        rows = []
        for job, generation in enumerate(generations):
            if 0 <= step - late * job < len(PIECES):
                start, stop = PIECES[step - late * job]
                rows.append(
                    Row(
                        job=job,
                        tokens=PROMPT[start:stop],
                        position=start,
                        generation=generation,
                        wants_logits=True,
                        blocks=scattered(job, 32),
                    )
                )
        if rows:
            made = executor.forward(rows, mixed=mixed)
            for row, of_row in zip(rows, made, strict=True):
                found[row.job].append(of_row.cpu())
    for job in range(len(generations)):
        executor.close(job)
    return torch.stack([torch.stack(each) for each in found])


def oracle(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        whole: torch.Tensor = model(input_ids=torch.tensor([PROMPT])).logits[0]
    return whole[[stop - 1 for _, stop in PIECES]]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """But for float32 sums in another order."""
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("late", [0, 2])
@pytest.mark.parametrize(
    ("architecture", "tied"),
    [("llama", False), ("llama", True), ("qwen2", False), ("mistral", False)],
)
def test_golden_logits_are_those_of_transformers(
    architecture: str, tied: bool, late: int, device: torch.device
) -> None:
    executor = executor_of(loaded(architecture, device, tied=tied))

    found = logits(executor, [None] * 5, mixed=False, late=late)

    expected = oracle(tiny.model(architecture, tied=tied))
    close(found, expected.expand(found.shape))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "mistral"])
def test_merged_and_mixed_logits_are_those_of_peft(
    architecture: str, device: torch.device, tmp_path: Path
) -> None:
    executor = executor_of(loaded(architecture, device))
    generations = adapters(tmp_path, executor, 4, architecture)
    wanted = [oracle(tiny.model(architecture))]
    for number in range(4):
        folder = tmp_path / f"{architecture}-{number}"
        peft = PeftModel.from_pretrained(tiny.model(architecture), folder)
        wanted.append(oracle(peft.eval()))

    mixed = logits(executor, [None, *generations, None], mixed=True, late=1)
    merged = []
    for generation in generations:
        executor.weights.activate(generation)
        merged.append(logits(executor, [generation], mixed=False)[0])

    close(mixed, torch.stack([*wanted, wanted[0]]))
    close(torch.stack(merged), torch.stack(wanted[1:]))
    assert (torch.stack(wanted[1:]) - wanted[0]).abs().amax((1, 2)).min() > 1e-2
