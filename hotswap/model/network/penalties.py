"""Penalties: the logits of tokens that were there before.

As vLLM defines them: repetition (Keskar 2019, CTRL) over prompt and output divides a
logit above zero and multiplies another; frequency is subtracted for each time a token
is in the output, presence once (OpenAI's documentation).
"""

from collections.abc import Iterable
from typing import Self

import numpy as np
import torch

from hotswap.model.network.past_tokens import PastTokens
from hotswap.model.network.sampler import Sampler
from hotswap.model.network.upload import uploaded


class Penalties:
    """Of the rows of a step that have any: host memory, complete before a launch."""

    def __init__(self, owner: PastTokens, wanted: np.ndarray, longest: int) -> None:
        self._owner = owner
        # [7, rows] float64, which holds indices exactly: row, where its past starts,
        # its tokens of prompt, all its tokens, repetition, frequency, presence
        self._wanted = wanted
        self._longest = longest

    @classmethod
    def of(cls, samplers: Iterable[tuple[int, Sampler]]) -> Self | None:
        """None: no row has a past that counts."""
        wanted: list[tuple[float, ...]] = []
        owner, longest = None, 0
        for row, sampler in samplers:
            past, params = sampler.past, sampler.params
            if past is None or not past.tokens or not sampler.is_penalised:
                continue
            owner, longest = past.owner, max(longest, past.tokens)
            wanted.append(
                (
                    row,
                    past.start,
                    past.prompt,
                    past.tokens,
                    params.repetition_penalty,
                    params.frequency_penalty,
                    params.presence_penalty,
                )
            )
        if owner is None:
            return None
        return cls(owner, np.array(wanted, np.float64).T, longest)

    def apply(self, logits: torch.Tensor) -> None:
        """Mutates `logits` [n, vocab]: of each row only what its past holds. Takes
        memory for rows x longest past, and for their counts rows x vocab."""
        wanted = uploaded(self._wanted, logits.device)[:, :, None]
        row, start, prompt, length = wanted[:4].long()
        repetition, frequency, presence = wanted[4:].float()
        # float32 has no such small divisor, nor the quotient: what is infinite or no
        # number would be drawn past every ban.
        limits = torch.finfo(logits.dtype)
        repetition.clamp_(min=limits.tiny)
        place = torch.arange(self._longest, device=logits.device)[None]
        is_past = place < length
        # Behind its end a row repeats its first token, which changes nothing: whoever
        # writes a token's logit writes the same.
        tokens = self._owner.tokens[start + place * is_past]
        is_output = (is_past & (place >= prompt)).float()
        counts = logits.new_zeros(len(tokens), logits.shape[1])
        count = counts.scatter_add_(1, tokens, is_output).gather(1, tokens)
        found = logits[row, tokens]
        found = torch.where(found > 0, found / repetition, found * repetition)
        found -= frequency * count
        found -= presence * (count > 0)
        logits[row, tokens] = found.clamp_(limits.min, limits.max)
