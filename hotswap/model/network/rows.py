"""Rows and samples: one job's part of a step, and what the step gave it."""

from collections.abc import Sequence
from dataclasses import dataclass

from hotswap.adapters.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`tokens` of `job` stand at `position` and after. `generation` is the job's own
    (None: base); it matters only when the step is mixed.

    `tokens` None: the one token that the flight before, not landed yet, samples for
    this job. Only where the executor launches ahead.
    """

    job: int
    tokens: Sequence[int] | None
    position: int
    generation: Generation | None
    wants_logits: bool

    @property
    def known(self) -> Sequence[int]:
        """`tokens`, where no flight is in the air."""
        assert self.tokens is not None, f"a token of job {self.job} has not landed"
        return self.tokens


@dataclass(frozen=True, slots=True)
class Sample:
    token: int
    logprob: float | None  # of the unscaled distribution, if asked for
