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
from scheduler import BASE, Swap

COLD_S, WARM_S = 0.12, 0.002


def take(seconds: float) -> None:
    threading.Event().wait(seconds)


class PacedWeights(EchoWeights):
    """Two slots beside golden, built between mixed steps or when they are needed."""

    built_s = 0.0
    half_built = ""

    def activate(self, generation: Generation | None) -> Swap | None:
        swap = super().activate(generation)
        if swap is None:
            return None
        seconds = WARM_S if swap.warm else COLD_S
        take(seconds)
        self._give_up(self.resident)
        return Swap(warm=swap.warm, seconds=seconds)

    def build_ahead(self, generation: Generation, budget_s: float) -> float | None:
        key = generation.key
        if key in self.known:
            return None
        if key != self.half_built:
            self.half_built, self.built_s = key, 0.0
        take(budget_s)
        self.built_s += budget_s
        if self.built_s < COLD_S:
            return None
        self.known.add(key)
        self._give_up(key)
        return self.built_s

    def _give_up(self, newest: str) -> None:
        held = sorted(self.known - {BASE, self.resident, newest})
        self.known -= set(held[1:])


class PacedExecutor(EchoExecutor):
    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.weights = PacedWeights()

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> list[Sample | None]:
        adapters = {row.generation.key for row in rows if row.generation}
        take(0.012 + 0.001 * len(rows) + (0.008 * len(adapters) if mixed else 0.0))
        return super().launch(rows, mixed=mixed)
