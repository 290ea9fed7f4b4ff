"""Rows and samples: one job's part of a step, and what the step gave it."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from hotswap.adapters.generation import Generation

BLOCK_TOKENS = 16
"""Tokens of a block of KV, where the executor's are our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`tokens` of `job` stand at `position` and after. `generation` is the job's own
    (None: base); it matters only when the step is mixed.

    `tokens` None: the one token that the flight before, not landed yet, samples for
    this job. Only where the executor launches ahead.

    `blocks`: where the job's KV is, by number: position p is in `blocks[p //
    BLOCK_TOKENS]`, at `p % BLOCK_TOKENS`. It reaches as far as `tokens` at least, and
    may be another one in the job's next row. An executor that keeps each job's KV in a
    place of its own passes it over, and begins anew where `position` is 0.

    `targets`: the prompt's tokens that stand one behind each of `tokens`, where the job
    asks how likely they were; the last of a prompt has none behind it.
    """

    job: int
    tokens: Sequence[int] | None
    position: int
    generation: Generation | None
    wants_logits: bool
    # int32; not to be kept: it is the scheduler's
    blocks: "array[int]" = field(default_factory=lambda: array("i"))
    targets: Sequence[int] = ()

    @property
    def known(self) -> Sequence[int]:
        """`tokens`, where no flight is in the air."""
        assert self.tokens is not None, f"a token of job {self.job} has not landed"
        return self.tokens


def own_blocks(job: int, tokens: int, block_tokens: int = BLOCK_TOKENS) -> "array[int]":
    """The blocks of the job by that number, from 0, where each has so many tokens of
    its own: for who runs jobs without a scheduler."""
    count = -(-tokens // block_tokens)
    return array("i", range(job * count, (job + 1) * count))


@dataclass(frozen=True, slots=True)
class Scored:
    """How likely the model found a token: of the logits as they come from the model,
    before any parameter of sampling. `rank`: 1 is the likeliest, and of equals the
    lower id; 0: not counted, as no `top` was asked for. `top`: the likeliest tokens and
    their logprobs, best first, as many as were asked for."""

    token: int
    logprob: float
    rank: int = 1
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """`scored`: if `logprobs` asks. `prompt`: with a job's first sample, if
    `prompt_logprobs` asks: each token of the prompt but the first. `is_refused`: the
    job's grammar cannot take the token, as it allows none any more."""

    token: int
    scored: Scored | None = None
    prompt: tuple[Scored, ...] = ()
    is_refused: bool = False
