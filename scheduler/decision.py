"""Decision: the scheduler's answer, and the outcome that the engine reports back.

Values, all frozen: they can be logged and compared. Knows no queue and no policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from scheduler.costs import Mode, StepShape
from scheduler.job import Job
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
    """One forward pass: how it runs, and who takes part. `shape`: what it is made of;
    `rows`: how many jobs of each generation."""

    plan: Plan
    work: tuple[Work, ...]
    shape: StepShape
    rows: Mapping[str, int]

    @property
    def prefill_tokens(self) -> int:
        return self.shape.prefill_tokens


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

    @classmethod
    def of(cls, plan: Plan, jobs: int, now: float) -> "Recent":
        return cls(
            at_s=now,
            mode=plan.mode,
            generation=plan.generation,
            jobs=jobs,
            why=plan.why,
        )


class Queued(NamedTuple):
    """The jobs of one generation, for people: those that wait for KV, and those that
    hold it. `since`: the arrival of the one that has waited longest; None if none does.
    `job`: the id of its first one."""

    generation: str
    waiting: int
    live: int
    since: float | None
    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the engine measured of a step. `warm`: generations now held by a slot.
    `restacked`: adapters were taken in beside the weights first, or left, so that its
    seconds are not what steps of its shape take."""

    seconds: float
    swap: Swap | None
    finished: frozenset[int]
    warm: frozenset[str]
    restacked: bool = False
