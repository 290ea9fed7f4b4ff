"""Row: one job's part of a step, and how rows become segments of a mixed step."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from hotswap.adapters.deltas import Generation
from hotswap.model.linear import Beside, Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`tokens` of `job` stand at `position` and after. `generation` is the job's own
    (None: base); it matters only when the step is mixed."""

    job: int
    tokens: Sequence[int]
    position: int
    generation: Generation | None
    wants_logits: bool


def key_of(row: Row) -> str:
    """Rows of one generation must lie together; base sorts first."""
    return row.generation.key if row.generation else ""


def segments(
    rows: Sequence[Row], beside: Beside
) -> tuple[list[Segment], list[Segment]]:
    """Segments over the token rows and over the logit rows of `rows`, in order."""
    by_token, by_logit = [], []
    token = logit = 0
    for key, group in groupby(rows, key=key_of):
        same = list(group)
        generation = same[0].generation
        factors = beside.factors(generation) if generation and key else {}
        next_token = token + sum(len(row.tokens) for row in same)
        next_logit = logit + sum(row.wants_logits for row in same)
        by_token.append(Segment(token, next_token, factors))
        by_logit.append(Segment(logit, next_logit, factors))
        token, logit = next_token, next_logit
    return by_token, by_logit
