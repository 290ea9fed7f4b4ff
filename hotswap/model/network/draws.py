"""Draws: a token from each row's processed logits, by one uniform for each.

A row's token never depends on the rows beside it: that is why masses are whole numbers,
whose sums are the same in any order, and why equal logits are ranked by their ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hotswap.model.network.upload import uploaded

# Of the best token. A vocabulary of 2 ** 18 sums up to no more than float64 holds
# exactly; a token that is 2 ** 36 times less likely than the best is never drawn.
_MASS = 2.0**35
# Tokens among which the nucleus is looked for first: most have far fewer.
_HEAD = 1024
_DEEPER = 8  # times
_TIES = 32  # more places, as the equals of the last one must be ranked, too


@dataclass(frozen=True, slots=True)
class Draw:
    """How one row is drawn. `top_k`: 0 is all tokens."""

    row: int
    temperature: float
    uniform: float
    top_k: int
    top_p: float
    min_p: float


def sent(draws: Sequence[Draw], device: torch.device) -> torch.Tensor:
    """[6, draws] float64 in one upload that nobody waits for: row, temperature,
    uniform, top_k, top_p, min_p; [5, draws] where no row has `min_p`."""
    values: list[tuple[float, ...]] = [
        (d.row, d.temperature, d.uniform, d.top_k, d.top_p) for d in draws
    ]
    if any(draw.min_p for draw in draws):
        values = [(*v, d.min_p) for v, d in zip(values, draws, strict=True)]
    return uploaded(np.array(values, np.float64), device).T


def _masses(
    logits: torch.Tensor, top: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """[n, vocab] int64, in proportion to the softmax of the scaled logits; zero where
    that is less than `min_p` of the best token's."""
    scaled = (logits - top).div_(wanted[1].float()[:, None])
    shares = scaled.exp_()  # of the best token's
    if len(wanted) > 5:
        shares.masked_fill_(shares < wanted[5].float()[:, None], 0)
    return shares.mul_(_MASS).round_().long()


def _drawn(
    summed: torch.Tensor, total: torch.Tensor, uniform: torch.Tensor
) -> torch.Tensor:
    """The place [n] of each row's token by inverse transform of one uniform, in masses
    summed along [n, places], of which the first `total` [n, 1] count."""
    reached = (uniform[:, None] * total).long().minimum(total - 1)
    place = torch.searchsorted(summed, reached, right=True)
    # Only a row that is not finite could reach beyond.
    return place.clamp_(max=summed.shape[1] - 1)[:, 0]


def from_whole(
    logits: torch.Tensor, top: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """Tokens [n], in the vocabulary's own order: nothing is sorted."""
    summed = _masses(logits, top, wanted).cumsum_(-1)
    return _drawn(summed, summed[:, -1:], wanted[2])


def from_ranked(
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
