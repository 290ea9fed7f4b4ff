"""Seating: which jobs take part in a step, by the plan and what there is room for.

Jobs are offered in order; each is seated if its mode, a seat, KV and the adapters of a
mixed step allow it. Once a waiting job finds too little KV, no later one may take what
it waits for. Changes nothing: the scheduler settles what was seated.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain

from scheduler.backlog import Backlog
from scheduler.costs import Mode, Shape
from scheduler.decision import Step, Work
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

    def __contains__(self, job: Job) -> bool:
        return job.id in self._ids

    def offer(self, jobs: Iterable[Job]) -> bool:
        """Seat whoever may be, in order. False if it stopped, at a job that could not
        be seated, because fewer kinds of jobs may be from now on."""
        seated, ids, adapters = self.jobs, self._ids, self.adapters
        left, most = self._max_batch - len(seated), self._max_adapters
        was_closed, was_narrow = self.is_closed, self.is_narrow
        waiting = JobState.WAITING
        for job in jobs:
            if job.id in ids:
                continue
            if not left:
                break
            generation = job.generation
            is_other = generation not in adapters and generation != BASE
            if (is_other and len(adapters) >= most) or (
                job.state is waiting and not self._reserve(job)
            ):
                if (was_closed, was_narrow) != (self.is_closed, self.is_narrow):
                    return False
                continue
            left -= 1
            if is_other:
                adapters.add(generation)
            ids.add(job.id)
            seated.append(job)
        return True

    def _reserve(self, job: Job) -> bool:
        """KV for a waiting job; False if there is none for it or for anybody."""
        barred = self._barred_after
        if job.kv_tokens > self._free or (barred is not None and job.order[1] > barred):
            self.is_closed = True
        if self.is_closed:
            return False
        self._free -= job.kv_tokens
        self.newcomers.append(job)
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
    first = _first(plan.first, backlog)
    while not seats.offer(first):
        pass  # whoever is next may be seated all the same

    def rest() -> Iterator[Job]:
        if group is not None:
            return iter(group.holders) if seats.is_closed else group.in_order()
        if not seats.is_narrow:
            return backlog.mixable_live() if seats.is_closed else backlog.mixable()
        groups = [backlog.groups.get(name) for name in (BASE, *sorted(seats.adapters))]
        jobs = (_jobs(g, seats) for g in groups if g is not None and g.can_mix)
        return heapq.merge(*jobs, key=order_of)

    while not seats.is_full and not seats.offer(rest()):
        pass  # `rest` is fewer kinds of jobs now


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


def deal(plan: Plan, seated: list[Job], prefill_tokens: int) -> Step:
    """Deal the step's prefill tokens out, in order; decoding takes one each."""
    left, context = prefill_tokens, 0
    work: list[Work] = []
    ranks: dict[str, int] = {}
    for job in seated:
        tokens, prefilled = 1, job.prefilled
        is_prefill = prefilled < job.prompt_tokens
        if is_prefill:
            if not left:
                continue
            tokens = min(job.prompt_tokens - prefilled, left)
            left -= tokens
        work.append(Work(job, tokens, is_prefill))
        context += prefilled + job.generated
        ranks[job.generation] = job.rank
    ranks.pop(BASE, None)
    shape = Shape(
        plan.mode,
        len(work),
        len(ranks),
        sum(ranks.values()),
        prefill_tokens - left,
        context,
    )
    return Step(plan=plan, work=tuple(work), shape=shape)


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
    if owed is not None and belongs(owed):
        seats.offer([owed])
        left -= owed.unfilled_tokens * (owed in seats)
    for job in chain(backlog.filling(), backlog.waiting.values()):
        if left <= 0 or seats.is_full:
            return
        if job is owed:
            continue
        if belongs(job):
            seats.offer([job])
        if job in seats:
            left -= job.unfilled_tokens
        elif job.state is JobState.WAITING:
            return


def _first(first: tuple[str, ...], backlog: Backlog) -> Iterator[Job]:
    """The next job of each generation, for each of its mentions."""
    lines: dict[str, Iterator[Job]] = {}
    for generation in first:
        line = lines.get(generation)
        if line is None:
            line = lines[generation] = backlog.groups[generation].in_order()
        job = next(line, None)
        if job is not None:
            yield job


def _jobs(group: Group, seats: Seats) -> Iterator[Job]:
    return iter(group.holders) if seats.is_closed else group.in_order()
