"""Costs: what a step and a swap take on this machine, learned from outcomes.

A step is modelled as a sum of what it is made of, for each mode:

    seconds = w0 + w1 sequences + w2 adapters + w3 prefill tokens

fitted by normalised least mean squares (Widrow and Hoff 1960; Haykin, Adaptive Filter
Theory, ch. 6): each outcome moves the weights a little towards itself. An outcome that
is far off the prediction counts only up to `_CLIP` of it, so one step disturbed by a
busy machine does not sway a decision, while a lasting change is followed within tens
of steps. No number here is a cost: before the first outcome everything is free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Mode(Enum):
    MERGED = "merged"
    MIXED = "mixed"


# Typical sizes of the four parts: a normalised filter wants them comparable.
_SCALES = (1.0, 8.0, 4.0, 128.0)
_RATE = 0.1
_CLIP = 1.0
_FIRST = 10


@dataclass(slots=True)
class _Filter:
    weights: list[float] = field(default_factory=lambda: [0.0] * len(_SCALES))
    outcomes: int = 0

    def predict(self, parts: tuple[float, ...]) -> float:
        scaled = (x / s for x, s in zip(parts, _SCALES, strict=True))
        return sum(w * x for w, x in zip(self.weights, scaled, strict=True))

    def learn(self, parts: tuple[float, ...], seconds: float) -> None:
        scaled = [x / s for x, s in zip(parts, _SCALES, strict=True)]
        expected = self.predict(parts)
        error = seconds - expected
        rate = _RATE
        if self.outcomes < _FIRST:  # these are all there is to go by
            rate = 1.0 / (1 + self.outcomes)
        else:
            limit = _CLIP * max(expected, 1e-6)
            error = max(-limit, min(limit, error))
        self.outcomes += 1
        norm = sum(x * x for x in scaled)
        for i, x in enumerate(scaled):
            # A part that costs less than nothing would make larger steps look cheap.
            self.weights[i] = max(0.0, self.weights[i] + rate * error * x / norm)


class Costs:
    """Seconds for steps and swaps. Mutated by `learn_*` only."""

    def __init__(self) -> None:
        self._steps = {mode: _Filter() for mode in Mode}
        self._swaps: dict[bool, float] = {}

    def step_s(
        self, mode: Mode, sequences: int, adapters: int, prefill_tokens: int = 0
    ) -> float:
        """Expected seconds of one step over `sequences` rows."""
        parts = _parts(mode, sequences, adapters, prefill_tokens)
        return max(self._steps[mode].predict(parts), 0.0)

    def swap_s(self, *, warm: bool) -> float:
        """Expected seconds to make another slot resident."""
        return self._swaps.get(warm, 0.0)

    def learn_step(
        self,
        mode: Mode,
        sequences: int,
        adapters: int,
        prefill_tokens: int,
        seconds: float,
    ) -> None:
        parts = _parts(mode, sequences, adapters, prefill_tokens)
        self._steps[mode].learn(parts, seconds)

    def learn_swap(self, *, warm: bool, seconds: float) -> None:
        known = self._swaps.get(warm)
        if known is None:
            self._swaps[warm] = seconds
        else:
            limit = max(known, 1e-6)
            change = max(-limit, min(limit, seconds - known))
            self._swaps[warm] = known + 0.2 * change

    def state(self) -> dict[str, list[float]]:
        """All that was learned, to be kept for the next start."""
        kept = {mode.value: list(self._steps[mode].weights) for mode in Mode}
        return kept | {"swaps": [self._swaps[True], self._swaps[False]]}

    @classmethod
    def restored(cls, state: Mapping[str, Sequence[float]]) -> "Costs":
        """From a `state`, to be refined further. Raises KeyError or ValueError."""
        made = cls()
        for mode in Mode:
            weights = [float(weight) for weight in state[mode.value]]
            if len(weights) != len(_SCALES):
                raise ValueError(f"{mode.value}: {len(weights)} weights")
            made._steps[mode] = _Filter(weights, outcomes=_FIRST)
        warm, cold = state["swaps"]
        made._swaps = {True: float(warm), False: float(cold)}
        return made

    def table(self) -> dict[str, float]:
        """The figures that a person wants to see, in seconds."""
        figures = {
            f"{mode.value}_step_{n}_s": self.step_s(mode, n, min(n, 4))
            for mode in Mode
            for n in (1, 16)
        }
        for mode in Mode:
            base = self.step_s(mode, 1, 1)
            with_prefill = self.step_s(mode, 1, 1, 1000)
            figures[f"{mode.value}_prefill_token_s"] = (with_prefill - base) / 1000
        figures["swap_warm_s"] = self.swap_s(warm=True)
        figures["swap_cold_s"] = self.swap_s(warm=False)
        return figures


def _parts(
    mode: Mode, sequences: int, adapters: int, prefill_tokens: int
) -> tuple[float, ...]:
    beside = adapters if mode is Mode.MIXED else 0
    return 1.0, float(sequences), float(beside), float(prefill_tokens)
