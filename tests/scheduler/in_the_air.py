"""Helpers: steps in the air, one call each, and a policy that does what it is told."""

from typing import Any

from scheduler import Outcome, Scheduler, Step
from scheduler.policy import Plan, View, mixed
from tests.scheduler.traces import decided


class Told:
    """A policy that does what it is told, and shows what it saw."""

    def __init__(self) -> None:
        self.plan = mixed("told to")
        self.view: View
        self.in_credit: set[str] = set()

    def choose(self, view: View) -> Plan:
        self.view, self.in_credit = view, set(view.in_credit)
        return self.plan


def launched(it: Scheduler, now: float = 0.0) -> Step:
    step = decided(it, now)
    it.advance(step)
    it.check()
    return step


def landed(
    it: Scheduler, step: Step, *finished: int, now: float = 0.0, **rest: Any
) -> None:
    """Finished are those told, and nobody else."""
    told = {"seconds": 0.01, "swap": None, "warm": frozenset()} | rest
    it.report(step, Outcome(finished=frozenset(finished), **told), now)
