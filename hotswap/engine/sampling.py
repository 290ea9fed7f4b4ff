"""Sampling: logits -> token ids, one row at a time as far as anyone can tell.

A row's token depends on its logits, its parameters and its own seeded generator, never
on the rows beside it. Greedy rows are a plain argmax.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hotswap.engine.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Sample:
    token: int
    logprob: float | None  # of the unscaled distribution, if asked for


class Sampler:
    """One job's choice and its random numbers."""

    def __init__(self, params: SamplingParams) -> None:
        self.params = params
        self._random = random.Random(params.seed)  # None: from the system's entropy

    @property
    def is_greedy(self) -> bool:
        # Below this, dividing by it overflows float32, and the best token has all mass.
        return self.params.temperature < 1e-5 or self.params.top_k == 1

    def choose(self, logits: torch.Tensor) -> int:
        """A token of [vocab] float32 logits, by inverse transform of one uniform."""
        params = self.params
        uniform = self._random.random()
        scaled = (logits - logits.max()) / params.temperature
        k = min(params.top_k, logits.numel()) if params.top_k > 0 else logits.numel()
        if k < logits.numel():
            values, ids = scaled.topk(k)
        else:
            values, ids = scaled.sort(descending=True, stable=True)
        weights = values.softmax(-1).cumsum(-1)
        if params.top_p < 1:
            # Nucleus: the fewest tokens whose mass reaches top_p (Holtzman 2019).
            kept = int((weights < params.top_p).sum()) + 1
            weights = weights[:kept]
        place = int(
            torch.searchsorted(weights, uniform * float(weights[-1]), right=True)
        )
        return int(ids[min(place, weights.numel() - 1)])


def sample(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[Sample | None]:
    """One token for each row of [rows, vocab] float32 logits. Mutates the samplers.

    None for a row that is not finite: no token could be meant by it.
    """
    best = logits.argmax(-1).tolist()
    # The maximum of a row is NaN or infinite if any of its logits is NaN or +inf.
    tops = logits.amax(-1).tolist()
    samples: list[Sample | None] = []
    for row, sampler in enumerate(samplers):
        if not math.isfinite(tops[row]):
            samples.append(None)
            continue
        token = best[row] if sampler.is_greedy else sampler.choose(logits[row])
        logprob = None
        if sampler.params.logprobs:
            logprob = float(logits[row, token] - logits[row].logsumexp(-1))
        samples.append(Sample(token, logprob))
    return samples
