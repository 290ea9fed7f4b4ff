"""ModelExecutor: an executor that has a model, for who makes it ready to serve."""

from typing import Protocol

import torch

from hotswap.adapters.generation import Generation
from hotswap.adapters.layout import Layout
from hotswap.model.executor import Executor, ExecutorWeights
from hotswap.model.machine.budget import MemoryPlan


class ModelWeights(ExecutorWeights, Protocol):
    @property
    def builds_ahead(self) -> bool:
        """Whether there is a slot to build ahead while the bare model runs."""

    def forget(self, key: str) -> None:
        """Empty the slot that holds it, if any."""


class ModelExecutor(Executor, Protocol):
    """An executor that has a model. `dtype`: of its weights."""

    kind: str
    mixes: bool  # whether adapters can be computed beside golden
    dtype: torch.dtype
    compute_dtype: torch.dtype
    kernels: str
    layout: Layout
    head: str
    memory: MemoryPlan
    context: int
    kv_tokens: int
    max_batch: int
    prefill_tokens: int

    @property
    def weights(self) -> ModelWeights: ...

    def held(self, generation: Generation) -> Generation:
        """As this executor holds it. On any thread. Raises AdapterRefused if it
        cannot."""
