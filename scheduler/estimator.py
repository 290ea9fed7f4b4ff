"""Estimator: what one measured quantity depends on, learned robustly one by one.

    seconds = w . parts

The weights wander slowly and are followed by a Kalman filter (Haykin, Adaptive Filter
Theory, ch. 14) on the relative error, which is clipped as in Huber's M-estimator
(Robust Statistics, 1981): a step disturbed by a busy machine counts, but only so much.
"""

import math
from collections.abc import Sequence
from operator import mul, sub

_CLIP = 3.5  # standard deviations, as far as the filter can tell
_NOISE = 0.1**2  # variance of the relative error that an ordinary outcome has
# Standard deviation of a weight that nothing is known of, in first outcomes: an
# absolute one would drown the variance of small quantities (a flip's 5 us) in rounding,
# and a wide one lets a few steps that are alike settle on weights fifty times too large
# that cancel out.
_UNSURE = 3.0


class Estimator:
    """`scales`: typical sizes of the parts; the filter wants them comparable. `drift`:
    how far the quantity may wander from one outcome to the next, against the whole."""

    def __init__(self, scales: Sequence[float], drift: float) -> None:
        size = len(scales)
        self.weights = [0.0] * size
        self.outcomes = 0
        self._scales = [1.0 / scale for scale in scales]
        self.rates = [0.0] * size  # the weights, for parts as they are
        self._wander = drift * drift
        self._spread: list[float] = []  # covariance of the weights, line after line

    def predict(self, parts: Sequence[float]) -> float:
        total: float = sum(map(mul, self.rates, parts))
        return total

    def learn(self, parts: Sequence[float], seconds: float) -> float:
        """Take in an outcome; returns what was expected before."""
        expected = foretold = self.predict(parts)
        if seconds <= 0.0:
            return foretold
        if not self._spread:
            self._know((_UNSURE * seconds) ** 2)
        if expected <= 0.0:  # nothing known
            expected, error = seconds, 1.0
        else:
            error = seconds / expected - 1.0
        self.outcomes += 1
        spread, size = self._spread, len(self.weights)
        row = [part / expected for part in map(mul, parts, self._scales)]
        lines = range(0, size * size, size)
        gain = [sum(map(mul, spread[at : at + size], row)) for at in lines]
        # Weights wander as far as this outcome can tell: what it leaves open would
        # else grow without end (directional forgetting, Kulhavy 1987).
        seen, wander = max(sum(map(mul, gain, row)), 1e-9), self._wander
        grown, variance = 1.0 + wander / seen, _NOISE + seen + wander
        clip = _CLIP * math.sqrt(variance)
        factor = grown / variance * max(-clip, min(clip, error))
        self.weights = [
            w + factor * at for w, at in zip(self.weights, gain, strict=True)
        ]
        # One list for the whole matrix: a list for each line takes twice as long.
        share = grown * grown / variance - wander / (seen * seen)
        less = [scaled * at for scaled in [share * at for at in gain] for at in gain]
        self._spread = list(map(sub, spread, less))
        if min(self.weights) < 0.0:
            self._keep_positive()
        self._set(self.weights)
        return foretold

    def _keep_positive(self) -> None:
        """A part that costs less than nothing would make larger steps look cheap.

        What a negative weight is lifted by, the others give, as far as the outcomes so
        far leave open which of them it is.
        """
        size = len(self.weights)
        for i, weight in enumerate(self.weights):
            if weight < 0.0:
                line = self._spread[i * size : (i + 1) * size]
                lift = weight / max(line[i], 1e-30)
                for j, at in enumerate(line):
                    self.weights[j] -= lift * at
                self.weights[i] = 0.0
        self.weights = [max(weight, 0.0) for weight in self.weights]

    def restore(self, weights: Sequence[float]) -> None:
        """Go on from weights learned earlier, as if from a few outcomes."""
        if len(weights) != len(self.weights):
            raise ValueError(f"{len(weights)} weights, not {len(self.weights)}")
        self._set([float(weight) for weight in weights])
        self.outcomes = 1
        self._know((0.1 * max(sum(self.weights), 1e-9)) ** 2)

    def _know(self, variance: float) -> None:
        """Each weight so well, and nothing of how they hang together."""
        size = len(self.weights)
        self._spread = [variance * (i == j) for i in range(size) for j in range(size)]

    def _set(self, weights: list[float]) -> None:
        self.weights = weights
        self.rates = list(map(mul, weights, self._scales))
