"""Sampler: how one job samples, from its first step to its last.

Its parameters as arrays of host memory, its random numbers, and how far it is. What
depends on the tokens themselves is on the device (`past_tokens`).
"""

import random
from collections.abc import Iterable, Sequence

import numpy as np

from hotswap.model.network.past_tokens import Past, PastTokens
from hotswap.sampling_params import SamplingParams


class Sampler:
    """`prompt`: the job's tokens. `ends`: those that end its answer. `past_tokens`:
    where its tokens are kept if its parameters look back.

    `asks`: whether the next token's logits are processed at all.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        prompt: Sequence[int] = (),
        ends: frozenset[int] = frozenset(),
        past_tokens: PastTokens | None = None,
    ) -> None:
        self.params = params
        self.matcher = params.grammar.matcher() if params.grammar else None
        # Below this, dividing by it overflows float32, and the best token has all mass.
        self.is_greedy = params.temperature < 1e-5 or params.top_k == 1
        # It samples from the likeliest tokens only.
        self.is_ranked = not self.is_greedy and (params.top_k > 0 or params.top_p < 1)
        self._random = random.Random(params.seed)  # None: from the system's entropy
        self._sampled = 0

        self.bias = _bias(params)
        self.allowed = _ids(params.allowed_tokens)
        self.bad_words = _bad_words(params)
        self._ends = _ids(ends)
        self.is_penalised = (
            params.repetition_penalty != 1
            or params.presence_penalty != 0
            or params.frequency_penalty != 0
        )
        self.past: Past | None = None
        if self.is_penalised or self.bad_words.shape[1] > 1:
            assert past_tokens is not None, "its parameters look back: at what?"
            counts_prompt = params.repetition_penalty != 1
            self.past = past_tokens.open(prompt if counts_prompt else ())
        self._asks_always = bool(
            self.past
            or self.matcher
            or self.bias.size
            or self.bad_words.size
            or params.allowed_tokens is not None
        )
        self.asks = self._asks_always or self.banned_ends.size > 0

    @property
    def banned_ends(self) -> np.ndarray:
        """Tokens [k] int64 that would end the answer before it has `min_tokens`."""
        is_short = self._sampled < self.params.min_tokens
        return self._ends if is_short else self._ends[:0]

    def draw(self) -> float:
        """The uniform in [0, 1) of the next token."""
        return self._random.random()

    def advance(self) -> None:
        """One more of its tokens is being sampled. Only for who asks."""
        self._sampled += 1
        if self.past is not None:
            self.past.tokens += 1
        self.asks = self._asks_always or self.banned_ends.size > 0

    def close(self) -> None:
        """The job is over."""
        if self.past is not None:
            self.past.close()


def _ids(tokens: Iterable[int] | None) -> np.ndarray:
    """[k] int64, in order."""
    return np.array(sorted(tokens or ()), np.int64)


def _bias(params: SamplingParams) -> np.ndarray:
    """[2, k] float64: tokens, and what is added to their logits."""
    pairs = sorted(dict(params.logit_bias).items())
    return np.array(pairs, np.float64).reshape(-1, 2).T


def _bad_words(params: SamplingParams) -> np.ndarray:
    """[words, longest] int64, each word at the end of its row and -1 before it."""
    words = [word for word in params.bad_words if word]
    longest = max(map(len, words), default=0)
    padded = [(-1,) * (longest - len(word)) + tuple(word) for word in words]
    return np.array(padded, np.int64).reshape(len(words), longest)
