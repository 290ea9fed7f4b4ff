"""Turns: what the machine did lately, for people - the steps between two changes.

A turn ends when the mode or the resident changes, before and after a step aside, and
when there was nothing to do for a while. Written by the engine thread, read by anybody
at any time: an ended turn changes no more, and a deque is copied in one go.
"""

from collections import deque
from collections.abc import Sequence as Several
from dataclasses import dataclass, replace
from itertools import takewhile

from hotswap.engine.sequence import Sequence
from scheduler import BASE, Mode, Outcome, Step

_KEPT = 512
_IDLE_S = 0.25
_MOST_NAMES = 64


@dataclass(slots=True, kw_only=True)
class Turn:
    """Seconds; times on the engine's clock. `number`: from 1. `begun_s`: when its swap
    began, else its first step; `seconds`: from there to the end of its last step.
    `generation`: None where it is mixed. `adapters`: those of its jobs, as they were
    asked for and as they came; the first 64. `is_aside`: one step for others, in the
    middle of a turn. `tokens`: sampled. `swap`: `warm` or `cold`. `why`: of its first
    step."""

    number: int
    begun_s: float
    mode: Mode
    generation: str | None
    is_aside: bool
    why: str
    swap: str | None
    swap_s: float
    adapters: tuple[str, ...] = ()
    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0


class Turns:
    def __init__(self) -> None:
        self._ended: deque[Turn] = deque(maxlen=_KEPT)
        self._last: Turn | None = None
        self._generations: set[str] = set()  # that have taken part in it

    @property
    def last(self) -> Turn | None:
        """The one that goes on, or was the last before there was nothing to do."""
        last = self._last
        return None if last is None else replace(last)

    def ended(self, after: int = 0) -> list[Turn]:
        """Those with a larger number than `after`, as far as they are kept; the oldest
        first."""
        kept = self._ended.copy()
        return list(takewhile(lambda turn: turn.number > after, reversed(kept)))[::-1]

    def step(
        self,
        step: Step,
        outcome: Outcome,
        now: float,
        sampled: int,
        jobs: Several[Sequence],
    ) -> None:
        """A step has landed `now`, with so many tokens sampled for these `jobs`."""
        plan, swap, last = step.plan, outcome.swap, self._last
        begun_s = now - outcome.seconds
        if (
            last is None
            or swap is not None
            or plan.generation != last.generation
            or (plan.aside is not None) is not last.is_aside
            or begun_s - last.begun_s - last.seconds > _IDLE_S
        ):
            last = self._begin(step, outcome, begun_s)
        last.seconds = now - last.begun_s
        last.steps += 1
        last.tokens += sampled
        if not step.rows.keys() <= self._generations:
            self._generations |= step.rows.keys()
            names = (*last.adapters, *[job.adapter or BASE for job in jobs])
            last.adapters = tuple(dict.fromkeys(names))[:_MOST_NAMES]

    def _begin(self, step: Step, outcome: Outcome, begun_s: float) -> Turn:
        plan, swap, before = step.plan, outcome.swap, self._last
        if before is not None:
            self._ended.append(before)
        swap_s = 0.0 if swap is None else swap.seconds
        self._last = made = Turn(
            number=before.number + 1 if before else 1,
            begun_s=begun_s - swap_s,
            mode=plan.mode,
            generation=plan.generation,
            is_aside=plan.aside is not None,
            why=plan.why,
            swap=None if swap is None else "warm" if swap.warm else "cold",
            swap_s=swap_s,
        )
        self._generations = set()
        return made
