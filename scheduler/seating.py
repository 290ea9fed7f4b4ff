"""Seating: which jobs take part in a step, by the plan and what there is room for.

Changes nothing: the scheduler settles what was seated.
"""

import heapq
from collections.abc import Iterator
from itertools import chain

from scheduler.backlog import Backlog
from scheduler.costs import Mode, Shape
from scheduler.decision import Step, Work
from scheduler.group import Group, order_of
from scheduler.job import BASE, Job, JobState
from scheduler.policy import Front, Plan
from scheduler.seats import Seats

_IN_ORDER = Plan(mode=Mode.MIXED, why="in order")
# What the seats depend on: the backlog's version, and the KV that may be had; and the
# plan's generation, its `first`, whether it admits and whom it is without.
_State = tuple[int, int, int | None]
_Key = tuple[str | None, tuple[str, ...], bool, str | None]


class Seating:
    """Remembers who sat where for as long as no job comes, is admitted or leaves: most
    steps are the one before it again."""

    def __init__(
        self,
        backlog: Backlog,
        *,
        max_batch: int,
        max_adapters: int,
        prefill_tokens: int,
    ) -> None:
        self._backlog = backlog
        self._max_batch = max_batch
        self._max_adapters = max_adapters
        self._prefill_tokens = prefill_tokens
        self._state: _State = (-1, 0, None)
        self._known: dict[_Key, Seats] = {}
        self._front: tuple[tuple[str, ...], int, int] = ((), 0, 0)

    def front(self, free_kv_tokens: int, barred_after: int | None) -> Front:
        """Who sits in plain mixed order. `barred_after`: later submissions may take no
        KV."""
        state = self._backlog.version, free_kv_tokens, barred_after
        if state != self._state:
            self._state, self._known = state, {}
            seats, groups = self.seats(_IN_ORDER, None), self._backlog.groups
            self._front = (
                tuple([job.generation for job in seats.jobs]),
                len(seats.adapters),
                sum([groups[name].rank for name in seats.adapters]),
            )
        jobs = self.seats(_IN_ORDER, None).jobs
        context = sum([job.prefilled + job.generated for job in jobs])
        return Front(*self._front, context)

    def seats(self, plan: Plan, owed: Job | None) -> Seats:
        """By the plan, as `front` was told; `owed` sits first in a step aside."""
        if plan.aside and plan.admits:  # it depends on the prompts left
            return self._fill(plan, owed)
        key = plan.generation, plan.first, plan.admits, plan.without
        seats = self._known.get(key)
        if seats is None:
            seats = self._known[key] = self._fill(plan, owed)
        return seats

    def deal(self, plan: Plan, seats: Seats) -> Step:
        """Deal the step's prefill tokens out, in order; decoding takes one each."""
        if seats.decoding is not None:
            last = seats.decoding
            context = sum([job.prefilled + job.generated for job in seats.jobs])
            shape = Shape(*last.shape[:-1], context)
            return Step(plan=plan, work=last.work, shape=shape, rows=last.rows)
        left, context = self._prefill_tokens, 0
        work: list[Work] = []
        rows: dict[str, int] = {}
        for job in seats.jobs:
            tokens, prefilled = 1, job.prefilled
            is_prefill = prefilled < job.prompt_tokens
            if is_prefill:
                if not left:
                    continue
                tokens = min(job.prompt_tokens - prefilled, left)
                left -= tokens
            work.append(Work(job, tokens, is_prefill))
            context += prefilled + job.generated
            rows[job.generation] = rows.get(job.generation, 0) + 1
        adapters = [name for name in rows if name != BASE]
        ranks = sum([self._backlog.groups[name].rank for name in adapters])
        prompts = self._prefill_tokens - left
        shape = Shape(plan.mode, len(work), len(adapters), ranks, prompts, context)
        step = Step(plan=plan, work=tuple(work), shape=shape, rows=rows)
        if not prompts:
            seats.decoding = step
        return step

    def _fill(self, plan: Plan, owed: Job | None) -> Seats:
        backlog = self._backlog
        _, free_kv_tokens, barred_after = self._state
        seats = Seats(
            max_batch=self._max_batch,
            max_adapters=self._max_adapters,
            free_kv_tokens=free_kv_tokens,
            barred_after=barred_after,
        )
        if plan.aside and plan.admits:
            _seat_unanswered(seats, plan, backlog, owed, self._prefill_tokens)
        if plan.aside or not plan.admits:
            seats.is_closed = True
        first = _first(plan.first, backlog, is_closed=seats.is_closed)
        while not seats.offer(first):
            pass  # whoever is next may be seated all the same
        while not seats.is_full and not seats.offer(_rest(seats, plan, backlog)):
            pass  # fewer kinds of jobs may be seated now
        return seats


def _rest(seats: Seats, plan: Plan, backlog: Backlog) -> Iterator[Job]:
    """All whom a step may serve, in order: of the merged generation, or mixed."""
    if plan.generation is not None:
        return _jobs(backlog.groups[plan.generation], is_closed=seats.is_closed)
    if not seats.is_narrow:
        jobs = backlog.mixable_live() if seats.is_closed else backlog.mixable()
        if plan.without is None:
            return jobs
        return (job for job in jobs if job.generation != plan.without)
    names = {BASE, *seats.adapters} - {plan.without}
    groups = [backlog.groups.get(name) for name in sorted(names)]
    lines = [
        _jobs(group, is_closed=seats.is_closed)
        for group in groups
        if group is not None and group.can_mix
    ]
    return heapq.merge(*lines, key=order_of)


def _seat_unanswered(
    seats: Seats,
    plan: Plan,
    backlog: Backlog,
    owed: Job | None,
    prefill_tokens: int,
) -> None:
    """Who has no first token yet, in the order of submission, for one step's prompts;
    but the streams that the plan names first come before all but `owed`.

    KV is given out strictly in that order: it stops at a job that cannot sit here.
    """

    def belongs(job: Job) -> bool:
        return job.generation == plan.generation if plan.generation else job.can_mix

    left = prefill_tokens
    if owed is not None and belongs(owed):
        seats.offer([owed])
        left -= owed.unfilled_tokens * (owed in seats)
    seats.offer(_first(plan.first, backlog, is_closed=True))
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


def _first(
    first: tuple[str, ...], backlog: Backlog, *, is_closed: bool
) -> Iterator[Job]:
    """The next job of each generation, for each of its mentions."""
    lines: dict[str, Iterator[Job]] = {}
    for generation in first:
        line = lines.get(generation)
        if line is None:
            group = backlog.groups[generation]
            line = lines[generation] = _jobs(group, is_closed=is_closed)
        job = next(line, None)
        if job is not None:
            yield job


def _jobs(group: Group, *, is_closed: bool) -> Iterator[Job]:
    return iter(group.holders) if is_closed else group.in_order()
