"""Rows: one job's part of a step."""

from collections.abc import Sequence
from dataclasses import dataclass

from hotswap.adapters.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`tokens` of `job` stand at `position` and after. `generation` is the job's own
    (None: base); it matters only when the step is mixed."""

    job: int
    tokens: Sequence[int]
    position: int
    generation: Generation | None
    wants_logits: bool
