"""Bans: which tokens a row may sample at all.

In this order: the grammar's mask, `allowed_tokens`, `bad_words` (vLLM: a word's last
token, where the output ends with the ones before it), and the tokens that end an answer
before it has `min_tokens`. One that would leave a row no token is passed over for that
token: so what is sampled always fits the grammar, and the others as far as it can.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import numpy as np
import torch

from hotswap.model.network.past_tokens import PastTokens
from hotswap.model.network.sampler import Sampler
from hotswap.model.network.upload import uploaded


class Bans:
    """Of the rows of a step that have any: host memory, complete before a launch.

    `allowed`, `ends`: [2, k] int64 of row and token. `words` [4 + p, words] int64: row,
    last token, where the row's past ends, its tokens of output, and p before the last.
    """

    def __init__(
        self,
        allowed: np.ndarray,
        words: np.ndarray,
        ends: np.ndarray,
        owner: PastTokens | None,
    ) -> None:
        self._allowed, self._words, self._ends = allowed, words, ends
        self._owner = owner  # of the past that words look at

    @classmethod
    def of(cls, samplers: Sequence[tuple[int, Sampler]]) -> Self:
        pasts = [s.past for _, s in samplers if s.past is not None]
        return cls(
            _pairs((row, sampler.allowed) for row, sampler in samplers),
            _words(samplers),
            _pairs((row, sampler.banned_ends) for row, sampler in samplers),
            pasts[0].owner if pasts else None,
        )

    def apply(self, logits: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """[n, vocab]: what is banned is -inf, and nothing else. Mutates `logits`.
        `mask` [n, vocab] bool: True is allowed."""
        found: torch.Tensor | None = None
        for each in self._narrower(logits, mask):
            both = each if found is None else each & found
            is_left = both.any(-1, keepdim=True)
            found = both | ~is_left if found is None else both.where(is_left, found)
        if found is None:
            return logits
        lowest = torch.finfo(logits.dtype).min
        return logits.clamp_(min=lowest).masked_fill_(~found, -torch.inf)

    def _narrower(
        self, logits: torch.Tensor, mask: torch.Tensor | None
    ) -> Iterator[torch.Tensor]:
        """Each [n, vocab] bool, True is allowed, in their order."""
        if mask is not None:
            yield mask
        if self._allowed.size:
            row, token = self._sent(self._allowed, logits)
            wide = _all(logits)
            once = uploaded(np.unique(self._allowed[0]), logits.device)
            wide.index_fill_(0, once, False)
            wide[row, token] = True
            yield wide[:, :-1]
        if self._words.size:
            words = self._sent(self._words, logits)
            row, last, end, output = words[:4]
            is_met = self._is_met(words[4:], end, output)
            yield _without(logits, row, last.where(is_met, logits.shape[1]))
        if self._ends.size:
            yield _without(logits, *self._sent(self._ends, logits))

    def _is_met(
        self, before: torch.Tensor, end: torch.Tensor, output: torch.Tensor
    ) -> torch.Tensor:
        """[words] bool: the output ends with all of a word `before` its last token."""
        if self._owner is None:
            return output >= 0
        back = torch.arange(len(before), 0, -1, device=before.device)[:, None]
        there = self._owner.tokens[(end - back).clamp_(min=0)]
        is_same = (there == before) & (output >= back)
        return (is_same | (before < 0)).all(0)

    def _sent(self, rows: np.ndarray, logits: torch.Tensor) -> torch.Tensor:
        """A token that the model does not have goes to the place behind the last."""
        known = rows.copy()
        known[1] = np.minimum(known[1], logits.shape[1])
        return uploaded(known, logits.device)


def _all(logits: torch.Tensor) -> torch.Tensor:
    """[n, vocab + 1]: all are allowed, and the one behind the last is nobody's."""
    count, vocab = logits.shape
    return torch.ones(count, vocab + 1, dtype=torch.bool, device=logits.device)


def _without(
    logits: torch.Tensor, row: torch.Tensor, token: torch.Tensor
) -> torch.Tensor:
    wide = _all(logits)
    wide[row, token] = False
    return wide[:, :-1]


def _pairs(found: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """[2, k] int64: row and token."""
    parts = [np.stack([np.full_like(ids, row), ids]) for row, ids in found]
    return np.concatenate(parts, axis=1) if parts else np.empty((2, 0), np.int64)


def _words(samplers: Iterable[tuple[int, Sampler]]) -> np.ndarray:
    parts = [(row, s.past, s.bad_words) for row, s in samplers if s.bad_words.size]
    longest = max((words.shape[1] for *_, words in parts), default=1)
    found = np.full((3 + longest, sum(len(words) for *_, words in parts)), -1, np.int64)
    at = 0
    for row, past, words in parts:
        here = found[:, at : (at := at + len(words))]
        here[0], here[1] = row, words[:, -1]
        here[2] = past.start + past.tokens if past else 0
        here[3] = past.tokens - past.prompt if past else 0
        if words.shape[1] > 1:
            here[-(words.shape[1] - 1) :] = words[:, :-1].T
    return found
