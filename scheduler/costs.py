"""Costs: what a step and a swap take on this machine, learned from outcomes.

A step is modelled, for each mode, as a sum of what it is made of:

    seconds = pace (w0 + w1 sequences + w2 adapters + w3 their ranks
                       + w4 prefill tokens + w5 context tokens)

The weights are learned slowly; `pace`, common to both modes, follows within tens of
steps when the whole machine becomes slower or faster. A cold swap grows with the rank
of the generation that is built. No number here is a cost: before the first outcome
everything is free.
"""

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from scheduler.estimator import Estimator


class Mode(Enum):
    MERGED = "merged"
    MIXED = "mixed"

    # Enum's own is written in Python, and modes are keys.
    __hash__ = object.__hash__


class StepShape(NamedTuple):
    """What a step is made of. `adapters` and the sum of their `ranks` count in a mixed
    step only; `context_tokens` is what its jobs have in KV before it."""

    mode: Mode
    sequences: int
    adapters: int = 0
    ranks: int = 0
    prefill_tokens: int = 0
    context_tokens: int = 0


# Typical sizes: one, sequences, prefill and context tokens, adapters, ranks.
_SCALES = {
    Mode.MERGED: (1.0, 8.0, 128.0, 2048.0),
    Mode.MIXED: (1.0, 8.0, 128.0, 2048.0, 4.0, 64.0),
}
_STEP_DRIFT = 0.002
_SWAP_DRIFT = 0.02
_PACE_RATE = 0.1
_PACE_CLIP = 0.5
_SETTLED = 50  # outcomes of a mode, before the pace is told from the weights


class Costs:
    """Seconds for steps and swaps. Mutated by `learn_*` only."""

    def __init__(self) -> None:
        self._steps = {m: Estimator(s, _STEP_DRIFT) for m, s in _SCALES.items()}
        self._warm = Estimator((1.0,), _SWAP_DRIFT)
        self._cold = Estimator((1.0, 16.0), _SWAP_DRIFT)
        self._pace = 1.0
        self._errors: deque[float] = deque(maxlen=256)

    def step_s(self, shape: StepShape) -> float:
        """Expected seconds of one step."""
        return self._pace * self._steps[shape.mode].predict(_parts(shape))

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        """Expected seconds to make another slot resident: `warm` if it is built."""
        if warm:
            return self._warm.rates[0]
        rates = self._cold.rates
        return rates[0] + rates[1] * rank

    def prefill_s(self, tokens: int) -> float:
        """Expected seconds that so many tokens of prompts add to a merged step."""
        one = StepShape(Mode.MERGED, 1)
        return self.step_s(one._replace(prefill_tokens=tokens)) - self.step_s(one)

    @property
    def error(self) -> float | None:
        """Median relative error of the last 256 predictions of a step; None at first.

        Each was made before its step was learned from.
        """
        return statistics.median(self._errors) if self._errors else None

    def learn_step(self, shape: StepShape, seconds: float) -> None:
        steps, parts = self._steps[shape.mode], _parts(shape)
        expected = self._pace * steps.learn(parts, seconds / self._pace)
        if expected > 0.0 and seconds > 0.0:
            self._errors.append(abs(expected / seconds - 1.0))
        if steps.outcomes > _SETTLED and expected > 0.0:
            error = max(-_PACE_CLIP, min(_PACE_CLIP, seconds / expected - 1.0))
            self._pace *= 1.0 + _PACE_RATE * error

    def learn_swap(self, *, warm: bool, seconds: float, rank: int = 0) -> None:
        if warm:
            self._warm.learn((1.0,), seconds)
        else:
            self._cold.learn((1.0, float(rank)), seconds)

    def state(self) -> dict[str, list[float]]:
        """All that was learned, to be kept for the next start."""
        kept = {
            mode.value: [self._pace * weight for weight in steps.weights]
            for mode, steps in self._steps.items()
        }
        return kept | {"warm": self._warm.weights, "cold": self._cold.weights}

    @classmethod
    def restored(cls, state: Mapping[str, Sequence[float]]) -> "Costs":
        """From a `state`, to be refined further. Raises KeyError or ValueError."""
        made = cls()
        for mode, steps in made._steps.items():
            steps.restore(state[mode.value])
        made._warm.restore(state["warm"])
        made._cold.restore(state["cold"])
        return made

    def table(self) -> dict[str, float]:
        """The figures that a person wants to see, in seconds."""
        figures = {}
        for mode in Mode:
            for n in (1, 16):
                shape = StepShape(mode, n, min(n, 4), 16 * min(n, 4))
                figures[f"{mode.value}_step_{n}_s"] = self.step_s(shape)
            one = StepShape(mode, 1, 1, 16)
            more = self.step_s(one._replace(prefill_tokens=1000)) - self.step_s(one)
            figures[f"{mode.value}_prefill_token_s"] = more / 1000
        figures["swap_warm_s"] = self.swap_s(warm=True)
        figures["swap_cold_s"] = self.swap_s(warm=False, rank=16)
        return figures


def _parts(shape: StepShape) -> tuple[float, ...]:
    mode, sequences, adapters, ranks, prefill, context = shape
    if mode is Mode.MERGED:
        return 1.0, sequences, prefill, context
    return 1.0, sequences, prefill, context, adapters, ranks
