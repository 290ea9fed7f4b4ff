"""Engines of vLLM's that tests share, with the models and adapters they serve.

All of them for a whole run: to stop one ends what vLLM's others share in the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.model.unloaded import unloaded
from hotswap.model.vllm.executor import VllmExecutor
from hotswap.model.vllm.start import Wanted, start
from tests import tiny

HEAD_DIM = 96  # one that vLLM's attention for CPUs has
CONTEXT = 256
KV_TOKENS = 1600
MAX_BATCH = 4
ADAPTERS = 3


@dataclass(frozen=True)
class Served:
    """An executor, the folder of its model and those of its adapters."""

    architecture: str
    executor: VllmExecutor
    folder: Path
    adapters: tuple[Path, ...]
    generations: tuple[Generation, ...]
    tied: bool = False

    def base(self) -> PreTrainedModel:
        """As transformers computes it."""
        return tiny.model(self.architecture, tied=self.tied, head_dim=HEAD_DIM)


@contextmanager
def served(
    root: Path, architecture: str, *, tied: bool = False, **wanted: Any
) -> Iterator[Served]:
    folder = tiny.save_model(
        root / architecture, architecture, tied=tied, head_dim=HEAD_DIM
    )
    targets = tiny.TARGETS[architecture]
    adapters = tuple(
        tiny.save_adapter(
            root / f"{architecture}-{number}",
            architecture,
            seed=number,
            strength=1.0,
            tied=tied,
            head_dim=HEAD_DIM,
            r=2**number,
            target_modules=targets[number % 2 :],
        )
        for number in range(ADAPTERS)
    )
    started = start(wanted_of(folder, **wanted))
    try:
        executor = VllmExecutor(started)
        generations = tuple(
            executor.held(read(path, executor.layout)) for path in adapters
        )
        yield Served(architecture, executor, folder, adapters, generations, tied)
    finally:
        started.stop()


def wanted_of(folder: Path, **more: Any) -> Wanted:
    model = unloaded(str(folder), None)
    small: dict[str, Any] = {
        "dtype": "float32",
        "device": torch.device("cpu"),
        "context": CONTEXT,
        "slots": 2,
        "kv_tokens": KV_TOKENS,
        "budget_bytes": 1 << 30,
        "max_batch": MAX_BATCH,
        "prefill_tokens": 60,
        "tensor_parallel": 1,
    }
    return Wanted(
        folder=folder, name=model.name, skeleton=model.skeleton, **{**small, **more}
    )


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Its projections have biases."""
    with served(tmp_path_factory.mktemp("vllm"), "qwen2") as found:
        yield found


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("vllm"), "llama") as found:
        yield found


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Its head is its embedding."""
    with served(tmp_path_factory.mktemp("tied"), "llama", tied=True) as found:
        yield found
