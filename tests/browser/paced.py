"""Paced: an echo whose steps and swaps take time, so that there is something to see.

Its costs are those of no machine: a merged step is cheap, a mixed one dearer with each
adapter, and to make an adapter resident takes as long as a few steps.
"""

import threading
from collections.abc import Sequence

from hotswap.adapters.generation import Generation
from hotswap.echo.executor import EchoExecutor, EchoWeights
from hotswap.echo.vocabulary import Vocabulary
from hotswap.model.network.rows import Row, Sample
from scheduler import Swap

COLD_S, WARM_S = 0.12, 0.002


def take(seconds: float) -> None:
    threading.Event().wait(seconds)


class PacedWeights(EchoWeights):
    """Two slots beside golden."""

    def activate(self, generation: Generation | None) -> Swap | None:
        swap = super().activate(generation)
        if swap is None:
            return None
        seconds = WARM_S if swap.warm else COLD_S
        take(seconds)
        held = [key for key in self.known if key not in ("base", self.resident)]
        self.known -= set(held[1:])
        return Swap(warm=swap.warm, seconds=seconds)


class PacedExecutor(EchoExecutor):
    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.weights = PacedWeights()

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> list[Sample | None]:
        adapters = {row.generation.key for row in rows if row.generation}
        take(0.012 + 0.001 * len(rows) + (0.008 * len(adapters) if mixed else 0.0))
        return super().launch(rows, mixed=mixed)
