"""The model and the adapters that the benchmarks run: SmolLM2-135M and made-up ones."""

import torch
from transformers import PreTrainedModel

from hotswap.adapters.generation import Delta, Generation
from hotswap.demo.__main__ import model_file
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import convert_gguf, load
from hotswap.model.network.loaded import Loaded


def load_model(dtype: str | None = None) -> Loaded:
    """In the types that the CPU was seen to be the fastest in, or as told."""
    return load(str(convert_gguf(model_file())), dtype, "cpu")


def model_for_others() -> PreTrainedModel:
    """In the type that we compute in: others have no fast products of mixed ones."""
    return load_model(str(load_model().compute_dtype).removeprefix("torch.")).model


def adapters(runner: EagerExecutor, count: int, rank: int) -> list[Generation]:
    """Random adapters on all linear modules but the head, in bfloat16, seeded."""
    made = []
    for number in range(count):
        random = torch.Generator().manual_seed(number)
        deltas = {
            path: Delta(
                a=torch.randn(rank, columns, generator=random).bfloat16(),
                b=torch.randn(rows, rank, generator=random).bfloat16(),
                scale=2.0**-10,  # a power of two, as alpha / rank mostly is
            )
            for path, (rows, columns) in runner.layout.linear.items()
            if path != runner.head
        }
        made.append(Generation(key=f"bench-{rank}-{number}", deltas=deltas))
    return made
