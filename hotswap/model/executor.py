"""Executor: all that the engine knows of the machine. It names no device.

`EagerExecutor` and `GpuExecutor`, in `hotswap.model`, are two; the tests' fakes others.

    open -> launch -> land -> launch -> land ... -> close

Where it launches ahead, a step is launched before the one before has landed.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from hotswap.adapters.generation import Generation
from hotswap.model.network.rows import Row, Sample
from hotswap.sampling_params import SamplingParams
from scheduler import Swap

Flight = Any
"""A step that was launched: the executor's own, opaque to the engine."""


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
    def launches_ahead(self) -> bool:
        """Whether a step may be launched before the last one has landed."""

    @property
    def block_tokens(self) -> int:
        """Tokens of a block of KV, as rows name them."""

    @property
    def shares_blocks(self) -> bool:
        """Whether what one job has computed into a block serves others, too."""

    @property
    def weights(self) -> ExecutorWeights: ...

    @property
    def batched_lora_bytes(self) -> int: ...

    @property
    def stacked(self) -> frozenset[str]:
        """Generations that a mixed step runs without loading them first."""

    def open(
        self,
        job: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
    ) -> None:
        """A job begins to sample, by `params`, once in its life: also a job that is
        sent back, and computed again, goes on where it was. `prompt`: its tokens.
        `ends`: those that end its answer."""

    def close(self, job: int) -> None:
        """It samples no more; unknown jobs never did. A flight may be in the air with
        it: whoever gets its blocks next is computed later."""

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> Flight:
        """Begin one forward pass, and the sampling of the rows that want logits.
        `mixed`: golden is resident, and each row has its own adapter, unmerged.

        Raises MixFailed before anything is computed. Whatever it raises: nothing of
        this step is in the air.
        """

    def land(self, flight: Flight) -> list[Sample | None]:
        """Wait for it. A sample for each row that wanted logits, in order; None: its
        logits were not finite. Flights land in the order in which they were launched.
        Whatever it raises: the flight is over."""

    def forget(self, generation: str) -> None:
        """Nobody uses it any more: what is kept of it may go. A flight may be in the
        air with it."""
