"""Sums of adapters that lie in folders, for the tests of what they compute."""

from collections.abc import Mapping
from pathlib import Path

import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.adapters.sum_parts import Part
from hotswap.adapters.weighted_sum import weighted_sum
from hotswap.model.eager.executor import EagerExecutor


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def parts_of(runner: EagerExecutor, folders: Mapping[Path, float]) -> list[Part]:
    return [
        Part(folder.name, factor, read(folder, runner.layout))
        for folder, factor in folders.items()
    ]


def summed(runner: EagerExecutor, parts: list[Part]) -> Generation:
    return weighted_sum("sum", parts, layout=runner.layout)
