"""Past tokens: what jobs were given and have sampled, where the model computes.

On the device because the next step is launched before the host has seen the last token.
Only of jobs whose parameters look back: penalties, and bad words of several tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch

from hotswap.model.network.spans import Span, Spans
from hotswap.model.network.upload import uploaded


class Past:
    """One job's: first the prompt, where it counts, then the output."""

    def __init__(self, owner: "PastTokens", span: Span, prompt: int) -> None:
        self.owner = owner
        self.prompt = prompt  # tokens of it that are here
        self.tokens = prompt  # here, those of the steps in the air among them
        self._span = span

    @property
    def start(self) -> int:
        """Where they are among all jobs'. Changes only when a job comes."""
        return self._span.start

    @property
    def has_room(self) -> bool:
        """False when the last token of the answer was sampled."""
        return self.tokens < self._span.tokens

    def close(self) -> None:
        self.owner.spans.release(self._span)


class PastTokens:
    """`capacity`: tokens of all jobs at once, at first: it grows, as jobs that were
    sent back keep theirs. Memory is taken by the first of them."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.spans = Spans(capacity, self._move)
        self._device = device
        self._tokens: torch.Tensor | None = None

    @property
    def tokens(self) -> torch.Tensor:
        """[capacity] int64, on the device."""
        if self._tokens is None:
            self._tokens = torch.zeros(
                self.spans.capacity, dtype=torch.int64, device=self._device
            )
        return self._tokens

    @torch.inference_mode()
    def open(self, tokens: int, prompt: Sequence[int]) -> Past:
        """Room for `tokens`, of which `prompt` are there already."""
        self._grow(self.spans.used + tokens)
        span = self.spans.reserve(tokens)
        if prompt:
            ids = uploaded(np.array(prompt, np.int64), self._device)
            self.tokens[span.start : span.start + len(prompt)] = ids
        return Past(self, span, len(prompt))

    @torch.inference_mode()
    def append(self, places: torch.Tensor, tokens: torch.Tensor) -> None:
        """Write sampled `tokens` [n] to `places` [n]. Mutates what all steps read that
        are launched later."""
        self.tokens.index_copy_(0, places, tokens)

    def _grow(self, tokens: int) -> None:
        """Room for so many. What steps in the air still write is copied behind them."""
        if tokens <= self.spans.capacity:
            return
        self.spans.capacity = max(tokens, 2 * self.spans.capacity)
        before, self._tokens = self._tokens, None
        if before is not None:
            self.tokens[: len(before)] = before

    @torch.inference_mode()
    def _move(self, start: int, to: int, count: int) -> None:
        # clone: source and target may overlap
        self.tokens[to : to + count] = self.tokens[start : start + count].clone()
