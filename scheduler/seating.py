"""Seating: which jobs take part in a step, by the plan and what there is room for.

Jobs are offered in order; each is seated if its mode, a seat, KV and the adapters of a
mixed step allow it. Once a waiting job finds too little KV, no later one may take what
it waits for. Changes nothing: the scheduler settles what was seated.
"""

import heapq
from collections.abc import Callable, Iterator
from itertools import chain

from scheduler.backlog import Backlog
from scheduler.costs import Mode
from scheduler.decision import Work
from scheduler.group import Group, order_of
from scheduler.job import BASE, Job, JobState
from scheduler.policy import Front, Plan


class Seats:
    """The seats of one step. `barred_after`: later submissions may take no KV."""

    def __init__(
        self,
        *,
        max_batch: int,
        max_adapters: int,
        free_kv_tokens: int,
        barred_after: int | None,
    ) -> None:
        self.jobs: list[Job] = []
        self.newcomers: list[Job] = []
        self.adapters: set[str] = set()
        self.is_closed = False  # to waiting jobs
        self._ids: set[int] = set()
        self._max_batch = max_batch
        self._max_adapters = max_adapters
        self._free = free_kv_tokens
        self._barred_after = barred_after

    @property
    def is_full(self) -> bool:
        return len(self.jobs) >= self._max_batch

    @property
    def is_narrow(self) -> bool:
        """No more adapters may join."""
        return len(self.adapters) >= self._max_adapters

    def offer(self, job: Job) -> bool:
        """Seat the job if it may be; True if it sits now."""
        if job.id in self._ids:
            return True
        if len(self.jobs) >= self._max_batch:
            return False
        generation = job.generation
        is_other = generation != BASE and generation not in self.adapters
        if is_other and len(self.adapters) >= self._max_adapters:
            return False
        if job.state is JobState.WAITING:
            barred = self._barred_after
            if job.kv_tokens > self._free or (
                barred is not None and job.order[1] > barred
            ):
                self.is_closed = True
            if self.is_closed:
                return False
            self._free -= job.kv_tokens
            self.newcomers.append(job)
        if is_other:
            self.adapters.add(generation)
        self._ids.add(job.id)
        self.jobs.append(job)
        return True


def seat(
    seats: Seats, plan: Plan, backlog: Backlog, owed: Job | None, prefill_tokens: int
) -> None:
    """Fill the seats by the plan. `owed` sits first in a step aside."""
    group = None if plan.generation is None else backlog.groups[plan.generation]
    if plan.aside:
        _seat_unanswered(seats, group, backlog, owed, prefill_tokens)
    if plan.aside or not plan.admits:
        seats.is_closed = True
    _seat_first(seats, plan.first, backlog)

    def rest() -> Iterator[Job]:
        if group is not None:
            return iter(group.holders) if seats.is_closed else group.in_order()
        if not seats.is_narrow:
            return backlog.mixable_live() if seats.is_closed else backlog.mixable()
        groups = [backlog.groups.get(name) for name in (BASE, *sorted(seats.adapters))]
        jobs = (_jobs(g, seats) for g in groups if g is not None and g.can_mix)
        return heapq.merge(*jobs, key=order_of)

    _fill(seats, rest)


def front_of(seats: Seats, backlog: Backlog) -> Front:
    """Fill the seats in plain mixed order, and say who sits there."""
    seat(seats, Plan(mode=Mode.MIXED, why="in order"), backlog, None, 0)
    groups = backlog.groups
    return Front(
        generations=tuple([job.generation for job in seats.jobs]),
        adapters=len(seats.adapters),
        ranks=sum([groups[name].rank for name in seats.adapters]),
        context_tokens=sum([job.prefilled + job.generated for job in seats.jobs]),
    )


def deal(seated: list[Job], prefill_tokens: int) -> tuple[Work, ...]:
    """Deal the step's prefill tokens out, in order; decoding takes one each."""
    left = prefill_tokens
    work = []
    for job in seated:
        is_prefill = job.prefilled < job.prompt_tokens
        if is_prefill:
            tokens = min(job.prompt_tokens - job.prefilled, left)
            left -= tokens
        else:
            tokens = 1
        if tokens:
            work.append(Work(job, tokens, is_prefill))
    return tuple(work)


def _seat_unanswered(
    seats: Seats,
    group: Group | None,
    backlog: Backlog,
    owed: Job | None,
    prefill_tokens: int,
) -> None:
    """Who has no first token yet, in the order of submission, for one step's prompts.

    KV is given out strictly in that order: it stops at a job that cannot sit here.
    """

    def belongs(job: Job) -> bool:
        return job.can_mix if group is None else job.generation == group.generation

    left = prefill_tokens
    if owed is not None and belongs(owed) and seats.offer(owed):
        left -= owed.unfilled_tokens
    for job in chain(backlog.filling(), backlog.waiting.values()):
        if left <= 0 or seats.is_full:
            return
        if job is owed:
            continue
        if not belongs(job) or not seats.offer(job):
            if job.state is JobState.WAITING:
                return
            continue
        left -= job.unfilled_tokens


def _seat_first(seats: Seats, first: tuple[str, ...], backlog: Backlog) -> None:
    lines: dict[str, Iterator[Job]] = {}
    for generation in first:
        if seats.is_full:
            return
        line = lines.get(generation)
        if line is None:
            line = lines[generation] = backlog.groups[generation].in_order()
        job = next(line, None)
        if job is not None:
            seats.offer(job)


def _fill(seats: Seats, source: Callable[[], Iterator[Job]]) -> None:
    """Offer the source's jobs; ask it anew when fewer kinds of jobs may be seated."""
    while True:
        state = seats.is_closed, seats.is_narrow
        for job in source():
            if not seats.offer(job):
                if seats.is_full:
                    return
                if (seats.is_closed, seats.is_narrow) != state:
                    break
        else:
            return


def _jobs(group: Group, seats: Seats) -> Iterator[Job]:
    return iter(group.holders) if seats.is_closed else group.in_order()
