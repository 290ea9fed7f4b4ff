"""Flights: the steps in the air, and what was counted on as each was launched.

What a step does to its jobs is known before it has landed, but for two things: how many
seconds it takes, and who turns out to have ended by an end token. So prompts and tokens
are counted at the launch, and those who reach their `max_tokens` leave; seconds are
charged, costs and lengths learned at the landing. Steps land in the order in which they
were launched; one that failed never does. A launch makes its slot resident.
"""

import math
from collections import Counter, deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from scheduler.accounts import Accounts, Charge
from scheduler.backlog import Backlog
from scheduler.decision import Outcome, Step
from scheduler.job import BASE, Job, JobState
from scheduler.lengths import Lengths
from scheduler.streams import Streams

_MOST = 4  # in the air; those before are taken to have failed


@dataclass(slots=True)
class _Flight:
    step: Step
    number: int  # of the step, as streams count
    charges: list[Charge]  # as things stood at the launch
    swap_s: float = 0.0  # what it has of the swap budget already
    ended: set[int] = field(default_factory=set)  # who left at the launch


class Flights:
    """Owned by the scheduler."""

    def __init__(
        self, backlog: Backlog, streams: Streams, accounts: Accounts, lengths: Lengths
    ) -> None:
        self._backlog = backlog
        self._streams = streams
        self._accounts = accounts
        self._lengths = lengths
        self.resident = BASE  # whose slot the last step launched computes with
        self.warm = frozenset({BASE})  # generations that some slot holds
        self._air: deque[_Flight] = deque(maxlen=_MOST)

    def in_air_tokens(self) -> Mapping[int, int]:
        """By job, what is computed in steps that have not landed."""
        tokens: Counter[int] = Counter()
        for flight in self._air:
            for job, count, _ in flight.step.work:
                tokens[job.id] += count
        return tokens

    def launch(self, step: Step) -> list[Job]:
        """Count on a step before it lands. Returns the jobs that have all their tokens
        with it: they must leave."""
        flight = self._count(step, math.inf)
        wanted = step.plan.generation or BASE
        is_warm = wanted in self.warm
        if wanted != self.resident:
            rank = step.work[0].job.rank
            flight.swap_s = self._accounts.set_aside(warm=is_warm, rank=rank)
        if not is_warm:
            self.warm = frozenset({BASE, wanted})  # whose slot it took is told later
        self.resident = wanted
        ended = [
            job
            for job, _, _ in step.work
            if job.generated >= job.max_tokens and job.is_live
        ]
        flight.ended.update(job.id for job in ended)
        self._air.append(flight)
        return ended

    def land(self, step: Step, outcome: Outcome, now: float) -> list[Job]:
        """Take in what a step did, whether it was launched ahead or not. Returns the
        jobs that have ended with it: they must leave."""
        flight = self._take(step)
        if flight is None:
            flight = self._count(step, now)
        else:
            self._streams.land(flight.number, now)
        self._accounts.settle(step, outcome, flight.charges, set_aside_s=flight.swap_s)
        self.warm = outcome.warm | {BASE}
        if not self._air:
            self.resident = step.plan.generation or BASE
        return self._ended(flight, outcome.finished) if outcome.finished else []

    def _count(self, step: Step, at: float) -> _Flight:
        charges = self._accounts.charges(step)
        number = self._streams.serve(self._backlog.progress(step.work), at)
        return _Flight(step, number, charges)

    def _take(self, step: Step) -> _Flight | None:
        """Those launched before it that have not landed have failed."""
        while self._air:
            flight = self._air.popleft()
            if flight.step is step:
                return flight
        return None

    def _ended(self, flight: _Flight, finished: Set[int]) -> list[Job]:
        leaving = []
        for job, _, _ in flight.step.work:
            if job.id not in finished:
                continue
            if job.is_live or job.state is JobState.PREEMPTED:
                leaving.append(job)
            elif not self._has_left(job, flight):
                continue
            # A step launched since has counted a token that will not be.
            more = sum(
                any(work.job is job for work in later.step.work) for later in self._air
            )
            self._lengths.learn(job.generation, job.generated - more)
        return leaving

    def _has_left(self, job: Job, landed: _Flight) -> bool:
        """Whether it left at a launch, and its length was not learned yet."""
        for flight in (landed, *self._air):
            if job.id in flight.ended:
                flight.ended.remove(job.id)
                return True
        return False
