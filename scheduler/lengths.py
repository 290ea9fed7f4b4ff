"""Lengths: how long the answers of each generation were, to guess what is left of one.

A histogram per generation, as an adapter is mostly one task: bucket i counts answers of
2^(i/2) tokens and more, and old ones fade. The guess for a job is conditioned on its
age: of the answers that became so long, how much longer they became on average.
"""

import math

_BUCKETS = 28  # up to 2^14 tokens
_FADE = 0.98
_ENOUGH = 5.0  # answers, before the past is trusted
_MOST = 4096  # generations remembered
_MIDDLES = tuple(2.0 ** (bucket / 2 + 0.25) for bucket in range(_BUCKETS))


class Lengths:
    def __init__(self) -> None:
        self._counts: dict[str, list[float]] = {}

    def learn(self, generation: str, tokens: int) -> None:
        """An answer ended by itself after so many tokens."""
        counts = self._counts.pop(generation, None) or [0.0] * _BUCKETS
        self._counts[generation] = [count * _FADE for count in counts]
        self._counts[generation][_bucket(tokens)] += 1.0
        if len(self._counts) > _MOST:  # the one that ended least recently
            del self._counts[next(iter(self._counts))]

    def expected_remaining(self, generation: str, age: float) -> float | None:
        """Tokens still to come of an answer that has `age`; None if little is known."""
        counts = self._counts.get(generation)
        if counts is None or sum(counts) < _ENOUGH:
            return None
        total = tokens = 0.0
        for bucket in range(_bucket(age), _BUCKETS):
            middle = _MIDDLES[bucket]
            if middle > age:
                total += counts[bucket]
                tokens += counts[bucket] * (middle - age)
        return tokens / total if total else None


def _bucket(tokens: float) -> int:
    return min(int(2 * math.log2(max(tokens, 1))), _BUCKETS - 1)
