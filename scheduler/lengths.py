"""Lengths: how long the answers of each generation were, to guess what is left of one.

A histogram per generation, as an adapter is mostly one task: bucket i counts answers of
2^(i/2) tokens and more, and old ones fade. The guess for a job is conditioned on its
age: of the answers that became so long, how much longer they became. It is the
geometric mean, near the median: a swap for a long rest that never comes is lost, while
one that is put off until the answer has become long still pays.

Where little is known of a generation the answers of all speak for it, and where little
is known at all, every bucket is as likely as any other: on a logarithmic scale, any
length up to what the job may ask for. Each of these counts as a few answers
(empirical Bayes, Robbins 1956), so that what was seen soon outweighs it.
"""

import math

_BUCKETS = 28  # up to 2^14 tokens
_FADE = 0.98
_PRIOR = 2.0  # answers that what is known beside the generation's own counts for
_MOST = 4096  # generations remembered
_MIDDLES = tuple(2.0 ** (bucket / 2 + 0.25) for bucket in range(_BUCKETS))
_NOTHING = [0.0] * _BUCKETS


class Lengths:
    def __init__(self) -> None:
        self._all = [0.0] * _BUCKETS
        self._counts: dict[str, list[float]] = {}

    def learn(self, generation: str, tokens: int) -> None:
        """An answer ended by itself after so many tokens."""
        counts = self._counts.pop(generation, None) or [0.0] * _BUCKETS
        self._counts[generation] = _counted(counts, tokens)
        self._all = _counted(self._all, tokens)
        if len(self._counts) > _MOST:  # the one that ended least recently
            del self._counts[next(iter(self._counts))]

    def expected_remaining(self, generation: str, age: float, most: float) -> float:
        """Tokens still to come of an answer that has `age`, of `most` it may have."""
        own = self._counts.get(generation, _NOTHING)
        asked = max(math.ceil(2 * math.log2(max(most, 1))), 1)
        share = _PRIOR / (_PRIOR + sum(self._all))
        total = logs = 0.0
        for bucket in range(_bucket(age), _BUCKETS):
            rest = min(_MIDDLES[bucket], most) - age
            if rest > 0.0:
                flat = _PRIOR / asked if bucket < asked else 0.0
                prior = share * (self._all[bucket] + flat)
                total += own[bucket] + prior
                logs += (own[bucket] + prior) * math.log(max(rest, 1.0))
        return min(math.exp(logs / total), most - age) if total else most - age


def _counted(counts: list[float], tokens: int) -> list[float]:
    counts = [count * _FADE for count in counts]
    counts[_bucket(tokens)] += 1.0
    return counts


def _bucket(tokens: float) -> int:
    return min(int(2 * math.log2(max(tokens, 1))), _BUCKETS - 1)
