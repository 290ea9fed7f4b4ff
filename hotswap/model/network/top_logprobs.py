"""Top logprobs: the likeliest tokens of a step's logits, for the rows that ask.

Of the logits as they come from the model. Of equals the lower id is likelier: each
token's place is one number that no other has, so nothing depends on how the device
sorts, and a token's rank is its place in `tokens` where it is among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from hotswap.model.network.upload import uploaded

Top = tuple[tuple[int, float], ...]
"""Tokens and their logprobs, best first."""


@dataclass(frozen=True, slots=True)
class TopLogprobs:
    """Of m rows that ask, in order: `ranks` [m] int64 of the sampled tokens (1 is the
    likeliest); best first `tokens` [m, depth] int64, `logprobs` [m, depth] float32."""

    ranks: torch.Tensor
    tokens: torch.Tensor
    logprobs: torch.Tensor

    def by_row(self, counts: Sequence[int | None]) -> dict[int, tuple[int, Top]]:
        """Rank and `counts` likeliest of each row that asks for any, in host memory.
        Waits."""
        asking = [(row, count) for row, count in enumerate(counts) if count]
        return {
            row: (rank, tuple(zip(ids[:count], likely[:count], strict=True)))
            for (row, count), rank, ids, likely in zip(
                asking,
                self.ranks.tolist(),
                self.tokens.tolist(),
                self.logprobs.tolist(),
                strict=True,
            )
        }

    def packed(self) -> torch.Tensor:
        """[m, 1 + 2 depth] int64, for one copy: ranks, tokens, and the bits of the
        logprobs as float64."""
        bits = self.logprobs.double().view(torch.int64)
        return torch.cat([self.ranks[:, None], self.tokens, bits], dim=1)

    @classmethod
    def unpacked(cls, packed: torch.Tensor) -> Self:
        """What `packed` was made of."""
        depth = packed.shape[1] // 2
        ranks, tokens, bits = packed.split([1, depth, depth], dim=1)
        return cls(ranks[:, 0], tokens, bits.contiguous().view(torch.float64))


def top_logprobs(
    logits: torch.Tensor,
    logprobs: torch.Tensor,
    sampled: torch.Tensor,
    *,
    rows: Sequence[int],
    depth: int,
) -> TopLogprobs:
    """Of `logits` and `logprobs` [n, vocab] float32 and tokens `sampled` [n], those in
    `rows`, `depth` of each. Takes memory for two int64 of each logit."""
    if len(rows) < len(logits):
        index = uploaded(np.array(rows, np.int64), logits.device)
        logits, logprobs, sampled = logits[index], logprobs[index], sampled[index]
    vocab = logits.shape[1]
    places = _places(logits)
    own = places.gather(-1, sampled[:, None])
    tokens = places.topk(min(depth, vocab)).indices
    return TopLogprobs(
        ranks=(places > own).sum(-1) + 1,
        tokens=tokens,
        logprobs=logprobs.gather(-1, tokens),
    )


def _places(logits: torch.Tensor) -> torch.Tensor:
    """[n, vocab] int64: larger is likelier, and no two are the same."""
    bits = (logits + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    # A float's bits are ordered as whole numbers are, but for those below zero.
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    behind = torch.arange(logits.shape[1] - 1, -1, -1, device=logits.device)
    return (ordered.long() << 32) | behind
