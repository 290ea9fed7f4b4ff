"""Sampling: logits -> token ids, for all rows of a step at once, on any device.

A row's token depends on its logits, its parameters and its own seeded generator, never
on the rows beside it: that is why masses are whole numbers, whose sums are the same in
any order, and why equal logits are ranked by their ids. Greedy rows are a plain argmax.
Nothing waits for the device while no row has `top_k` or `top_p`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from hotswap.model.network.rows import Sample, Scored
from hotswap.sampling_params import SamplingParams

# Of the best token. A vocabulary of 2 ** 18 sums up to no more than float64 holds
# exactly; a token that is 2 ** 36 times less likely than the best is never drawn.
_MASS = 2.0**35
# Tokens among which the nucleus is looked for first: most have far fewer.
_HEAD = 1024
_DEEPER = 8  # times
_TIES = 32  # more places, as the equals of the last one must be ranked, too


class Sampler:
    """How one job samples, and its random numbers, from its first step to its last."""

    def __init__(self, params: SamplingParams) -> None:
        self.params = params
        self._random = random.Random(params.seed)  # None: from the system's entropy

    @property
    def is_greedy(self) -> bool:
        # Below this, dividing by it overflows float32, and the best token has all mass.
        return self.params.temperature < 1e-5 or self.params.top_k == 1

    @property
    def is_ranked(self) -> bool:
        """Whether it samples from the likeliest tokens only."""
        return not self.is_greedy and (self.params.top_k > 0 or self.params.top_p < 1)

    def draw(self) -> float:
        """The uniform in [0, 1) of the next token."""
        return self._random.random()


@dataclass(frozen=True, slots=True)
class Draw:
    """How one row is drawn. `top_k`: 0 is all tokens."""

    row: int
    temperature: float
    uniform: float
    top_k: int
    top_p: float


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """How the rows of a step are sampled: host memory, complete before a launch.

    `whole` are drawn from the whole vocabulary, `ranked` from the likeliest of it; the
    others are greedy.
    """

    whole: tuple[Draw, ...]
    ranked: tuple[Draw, ...]
    wants_logprob: tuple[bool, ...]  # of each row

    @classmethod
    def of(cls, samplers: Sequence[Sampler]) -> Self:
        """One row for each. Draws a uniform from each that is not greedy."""
        draws = {
            row: Draw(
                row=row,
                temperature=sampler.params.temperature,
                uniform=sampler.draw(),
                top_k=max(0, sampler.params.top_k),
                top_p=sampler.params.top_p,
            )
            for row, sampler in enumerate(samplers)
            if not sampler.is_greedy
        }
        return cls(
            whole=tuple(d for r, d in draws.items() if not samplers[r].is_ranked),
            ranked=tuple(d for r, d in draws.items() if samplers[r].is_ranked),
            wants_logprob=tuple(s.params.logprobs is not None for s in samplers),
        )


@dataclass(frozen=True, slots=True)
class Sampled:
    """Of n rows, on the logits' device: tokens [n] int64, logprobs [n] float32 (zeros
    where nobody asks), is_finite [n] bool: where it is False the token means nothing.
    """

    tokens: torch.Tensor
    logprobs: torch.Tensor
    is_finite: torch.Tensor

    def samples(self, rows: SamplingRows) -> list[Sample | None]:
        """In host memory. None for a row whose logits were not finite. Waits."""
        found = zip(
            self.tokens.tolist(),
            self.logprobs.tolist(),
            self.is_finite.tolist(),
            rows.wants_logprob,
            strict=True,
        )
        return [
            Sample(token, Scored(token, logprob) if is_wanted else None)
            if is_finite
            else None
            for token, logprob, is_finite, is_wanted in found
        ]


def sample(logits: torch.Tensor, rows: SamplingRows) -> Sampled:
    """One token for each row of [n, vocab] float32 logits, which stay as they are."""
    tokens = logits.argmax(-1)
    # NaN counts as the largest: this is NaN or infinite if any logit is NaN or +inf.
    best = logits.gather(-1, tokens[:, None])
    for draws, kind in ((rows.whole, _from_whole), (rows.ranked, _from_ranked)):
        if draws:
            wanted = _sent(draws, logits.device)
            index = wanted[0].long()
            own, top = logits, best
            if len(draws) < len(logits):
                own, top = logits[index], best[index]
            tokens.index_copy_(0, index, kind(own, top, wanted))
    logprobs = torch.zeros_like(best[:, 0])
    if any(rows.wants_logprob):
        logprobs = logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(-1)
    return Sampled(tokens, logprobs, best[:, 0].isfinite())


def _sent(draws: Sequence[Draw], device: torch.device) -> torch.Tensor:
    """[5, draws] float64 in one upload that nobody waits for: row, temperature,
    uniform, top_k, top_p."""
    values = [(d.row, d.temperature, d.uniform, d.top_k, d.top_p) for d in draws]
    host = torch.tensor(values, dtype=torch.float64, pin_memory=device.type == "cuda")
    return host.to(device, non_blocking=True).T


def _masses(
    logits: torch.Tensor, top: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """[n, vocab] int64, in proportion to the softmax of the scaled logits."""
    scaled = (logits - top).div_(wanted[1].float()[:, None])
    return scaled.exp_().mul_(_MASS).round_().long()


def _drawn(
    summed: torch.Tensor, total: torch.Tensor, uniform: torch.Tensor
) -> torch.Tensor:
    """The place [n] of each row's token by inverse transform of one uniform, in masses
    summed along [n, places], of which the first `total` [n, 1] count."""
    reached = (uniform[:, None] * total).long().minimum(total - 1)
    place = torch.searchsorted(summed, reached, right=True)
    # Only a row that is not finite could reach beyond.
    return place.clamp_(max=summed.shape[1] - 1)[:, 0]


def _from_whole(
    logits: torch.Tensor, top: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """Tokens [n], in the vocabulary's own order: nothing is sorted."""
    summed = _masses(logits, top, wanted).cumsum_(-1)
    return _drawn(summed, summed[:, -1:], wanted[2])


def _from_ranked(
    logits: torch.Tensor, top: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """Tokens [n] of the `top_k` likeliest, and of these of the fewest whose mass
    reaches `top_p` (nucleus: Holtzman 2019). Waits for the device."""
    vocab = logits.shape[1]
    top_ks = wanted[3].long()[:, None]
    top_ks[top_ks >= vocab] = 0
    fewest, most = map(int, top_ks.aminmax())
    totals = torch.zeros_like(top_ks)  # of who has no `top_k`: of the whole vocabulary
    if not fewest:
        totals = _masses(logits, top, wanted).sum(-1, keepdim=True)
    # Few places are far cheaper to rank than all: more only for who needs them.
    depth = min(vocab, max(most, 0 if fewest else _HEAD) + _TIES)
    tokens, is_known = _likeliest(
        logits, top, wanted, top_ks=top_ks, totals=totals, depth=depth
    )
    while not is_known.all():
        depth = min(vocab, depth * _DEEPER)
        rest = (~is_known).nonzero()[:, 0]
        tokens[rest], is_known[rest] = _likeliest(
            logits[rest],
            top[rest],
            wanted[:, rest],
            top_ks=top_ks[rest],
            totals=totals[rest],
            depth=depth,
        )
    return tokens


def _likeliest(
    logits: torch.Tensor,
    top: torch.Tensor,
    wanted: torch.Tensor,
    *,
    top_ks: torch.Tensor,
    totals: torch.Tensor,
    depth: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [n] drawn by ranking `depth` places, and whether these were enough [n]."""
    values, ids = _ranked(logits, depth)
    summed = _masses(values, top, wanted).cumsum_(-1)
    of_k = summed.gather(-1, (top_ks - 1).clamp_(0, depth - 1))
    totals = torch.where(top_ks > 0, of_k, totals)
    needed = (totals * wanted[4][:, None]).ceil().long().clamp_(min=1)
    last = torch.searchsorted(summed, needed).clamp_(max=depth - 1)
    mass = summed.gather(-1, last)
    tokens = ids.gather(-1, _drawn(summed, mass, wanted[2])[:, None])[:, 0]
    # Of the equals of the last place some may not have been ranked.
    is_known = (values.gather(-1, last) > values[:, -1:]) & (top_ks <= depth)
    return tokens, is_known[:, 0] | (depth == logits.shape[1])


def _ranked(logits: torch.Tensor, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest values [n, depth] and their ids; of equals the lower id first."""
    if depth == logits.shape[1]:
        return logits.sort(descending=True, stable=True)
    values, ids = logits.topk(depth, sorted=False)
    ids, order = ids.sort()
    values, order = values.gather(-1, order).sort(descending=True, stable=True)
    return values, ids.gather(-1, order)
