"""Executor: all that the engine knows of the machine. It names no device.

`model.runner.EagerExecutor` is one; the tests' fake is another.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

from hotswap.adapters.generation import Generation
from hotswap.model.network.rows import Row
from scheduler import Swap


class ExecutorWeights(Protocol):
    """Golden and the slots. A generation goes by its key here, golden by `BASE`."""

    pinned: frozenset[str]  # slots that hold these are given up last

    @property
    def resident(self) -> str: ...

    @property
    def warm(self) -> frozenset[str]:
        """What can become resident without being built."""

    def activate(self, generation: Generation | None) -> Swap | None:
        """Make it (None: golden) resident. None if it was. Raises MergeFailed."""

    def build_ahead(self, generation: Generation, budget_s: float) -> float | None:
        """Build a slot for it a little further, for about `budget_s`. The seconds that
        it took in all, when it has just become whole. Raises MergeFailed."""


class Executor(Protocol):
    @property
    def weights(self) -> ExecutorWeights: ...

    @property
    def batched_lora_bytes(self) -> int: ...

    def open(self, job: int, tokens: int) -> None:
        """Give a job KV for so many tokens."""

    def close(self, job: int) -> None:
        """Take its KV back."""

    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """One forward pass: logits [rows that want them, vocab] in float32. `mixed`:
        golden is resident, and each row has its own adapter, unmerged. Raises
        MixFailed."""

    def forget(self, generation: str) -> None:
        """Nobody uses it any more: what is kept of it may go."""
