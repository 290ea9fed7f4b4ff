"""Logits processors: what parameters make of a step's logits before a token is drawn.

The order is vLLM's: bans, `logit_bias`, penalties. Nothing but a ban makes a logit
-inf, so bans are computed last, and no bias nor penalty undoes one.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch

from hotswap.model.network.bans import Bans
from hotswap.model.network.penalties import Penalties
from hotswap.model.network.sampler import Sampler
from hotswap.model.network.upload import uploaded


class LogitsProcessors:
    """Of the rows of a step that ask: host memory, complete before a launch.

    `bias` [3, k] float64: row, token, what is added. `kept` [2, k] int64: rows whose
    token becomes part of their past, and where.
    """

    def __init__(self, samplers: Sequence[tuple[int, Sampler]]) -> None:
        """Of rows and their samplers, none of which has advanced yet."""
        for _, sampler in samplers:
            if sampler.past is not None:
                sampler.past.reserve()  # before anybody asks where it is
        self._bias = np.concatenate(
            [np.vstack([np.full(s.bias.shape[1], r), s.bias]) for r, s in samplers]
            or [np.empty((3, 0))],
            axis=1,
        )
        self._penalties = Penalties.of(samplers)
        self._bans = Bans.of(samplers)
        pasts = [(r, s.past) for r, s in samplers if s.past]
        self._owner = pasts[0][1].owner if pasts else None
        kept = [(row, past.start + past.tokens) for row, past in pasts]
        self._kept = np.array(kept, np.int64).reshape(-1, 2).T

    @classmethod
    def of(cls, samplers: Sequence[Sampler]) -> Self | None:
        """One row for each, and each that asks advances. None: nobody asks."""
        asking = [(row, s) for row, s in enumerate(samplers) if s.asks]
        if not asking:
            return None
        made = cls(asking)
        for _, sampler in asking:
            sampler.advance()
        return made

    def processed(
        self, logits: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """[n, vocab], in memory of its own. `mask` [n, vocab] bool: True is allowed."""
        own = logits.clone()
        bias = self._bias[:, self._bias[1] < logits.shape[1]]
        if bias.size:
            sent = uploaded(bias, logits.device)
            row, token = sent[:2].long()
            own[row, token] += sent[2].float()
        if self._penalties is not None:
            self._penalties.apply(own)
        return self._bans.apply(own, mask)

    def keep(self, tokens: torch.Tensor) -> None:
        """The rows' tokens [n] were sampled: the steps launched later look back."""
        if self._owner is not None:
            row, place = uploaded(self._kept, tokens.device)
            self._owner.append(place, tokens[row])
