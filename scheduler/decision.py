"""Decision: the scheduler's answer, and the outcome that the engine reports back.

Values, all frozen: they can be logged and compared. Knows no queue and no policy.
"""

from dataclasses import dataclass
from typing import NamedTuple

from scheduler.costs import Mode, Shape
from scheduler.job import BASE, Job
from scheduler.policy import Plan


class Work(NamedTuple):
    """One job's part of a step: `tokens` of its prompt, or one token of decoding."""

    job: Job
    tokens: int
    is_prefill: bool


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing waits and nothing runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One forward pass: how it runs, and who takes part."""

    plan: Plan
    work: tuple[Work, ...]

    @property
    def generations(self) -> set[str]:
        return {work.job.generation for work in self.work}

    @property
    def prefill_tokens(self) -> int:
        return sum(work.tokens for work in self.work if work.is_prefill)


Decision = Idle | Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A change of resident that a step needed."""

    warm: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """What was decided lately, for people."""

    at_s: float
    mode: Mode
    generation: str | None
    jobs: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the engine measured of a step. `warm`: generations now held by a slot."""

    seconds: float
    swap: Swap | None
    finished: frozenset[int]
    warm: frozenset[str]


def shape_of(step: Step) -> Shape:
    """What the step is made of. Before its report: later its jobs have moved on."""
    ranks = {work.job.generation: work.job.rank for work in step.work}
    ranks.pop(BASE, None)
    return Shape(
        step.plan.mode,
        len(step.work),
        len(ranks),
        sum(ranks.values()),
        step.prefill_tokens,
        sum([work.job.prefilled + work.job.generated for work in step.work]),
    )
