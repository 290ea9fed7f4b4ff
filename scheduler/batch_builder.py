"""BatchBuilder: which jobs take part in a step, by the plan and what there is room for.

Changes nothing: the scheduler moves the jobs that were seated.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from itertools import chain, repeat

from scheduler.backlog import Backlog
from scheduler.costs import Mode, StepShape
from scheduler.decision import Step, Work
from scheduler.group import Group, order_of
from scheduler.job import BASE, Job
from scheduler.limits import SchedulerLimits
from scheduler.policy import Aside, Front, Plan
from scheduler.seats import Seats

_IN_ORDER = Plan(mode=Mode.MIXED, why="in order")


class BatchBuilder:
    """`barred_after`: jobs submitted later may take no KV."""

    def __init__(self, backlog: Backlog, limits: SchedulerLimits) -> None:
        self._backlog = backlog
        self._limits = limits
        self._in_order: Seats | None = None  # of this decision

    def front(self, free_kv_tokens: int, barred_after: int | None) -> Front:
        """Who sits in plain mixed order. Kept for the plan of this decision, which as a
        rule is that."""
        seats = self._fill(_IN_ORDER, None, free_kv_tokens, barred_after)
        self._in_order = seats
        return Front(
            generations=tuple(seats.generations),
            adapters=len(seats.adapters),
            ranks=self._ranks(seats.adapters),
            context_tokens=seats.context_tokens,
        )

    def seats(
        self,
        plan: Plan,
        overdue: Job | None,
        free_kv_tokens: int,
        barred_after: int | None,
    ) -> Seats:
        """By the plan; `overdue` sits first in a step for first tokens."""
        is_mixed = plan.mode is Mode.MIXED
        in_order, self._in_order = self._in_order, None
        is_plain = is_mixed and not (plan.first or plan.aside or plan.without)
        if is_plain and in_order is not None:
            return in_order
        seats = self._fill(plan, overdue, free_kv_tokens, barred_after)
        for name in set(seats.generations):
            group = self._backlog.groups[name]
            may = group.can_mix if is_mixed else group.can_merge
            assert may, f"{plan} is not allowed for {name}"
        return seats

    def _fill(
        self,
        plan: Plan,
        overdue: Job | None,
        free_kv_tokens: int,
        barred_after: int | None,
    ) -> Seats:
        backlog = self._backlog
        seats = Seats(
            self._limits, free_kv_tokens=free_kv_tokens, barred_after=barred_after
        )
        if plan.aside is Aside.FIRST_TOKENS:
            self._offer_unanswered(seats, plan, overdue)
        seats.is_closed |= plan.aside is not None
        have_room = seats.have_room_for(len(backlog.groups))
        if plan.first:
            first = _first(plan.first, backlog, is_closed=seats.is_closed)
            if have_room:
                seats.fill_in_turn(list(first))
            while not seats.offer(first):
                pass  # whoever is next may be seated all the same
        if plan.generation is not None:
            group = backlog.groups[plan.generation]
            seats.fill(group.holders, group.queue)
        elif plan.without is None and have_room:
            seats.fill(backlog.mixable_holders, backlog.mixable_queue)
        while not seats.is_full and not seats.offer(_rest(seats, plan, backlog)):
            pass  # fewer kinds of jobs may be seated now
        return seats

    def step(self, plan: Plan, seats: Seats) -> Step:
        """The step's prefill tokens are dealt out in order; decoding takes one each."""
        left, context = self._limits.prefill_tokens, seats.context_tokens
        work = _decoding(seats.jobs)
        rows = dict(Counter(seats.generations))
        if seats.is_prefilling:
            for at, job in enumerate(seats.jobs):
                if job.unfilled_tokens:
                    tokens = min(job.unfilled_tokens, left)
                    left -= tokens
                    work[at] = Work(job, tokens, True)
        if not left:  # somebody may have none
            work = [each for each in work if each.tokens]
            rows = dict(Counter(job.generation for job, _, _ in work))
            context = sum(job.computed for job, _, _ in work)
        adapters = rows.keys() - {BASE}
        shape = StepShape(
            mode=plan.mode,
            sequences=len(work),
            adapters=len(adapters),
            ranks=self._ranks(adapters),
            prefill_tokens=self._limits.prefill_tokens - left,
            context_tokens=context,
        )
        return Step(plan=plan, work=tuple(work), shape=shape, rows=rows)

    def _ranks(self, adapters: set[str]) -> int:
        return sum([self._backlog.groups[name].rank for name in adapters])

    def _offer_unanswered(self, seats: Seats, plan: Plan, overdue: Job | None) -> None:
        """Who has no first token yet, in the order of submission, for one step's
        prompts; but the streams that the plan names first come before all but
        `overdue`.

        KV is given out strictly in that order: it stops at a job that cannot sit here.
        """

        def belongs(job: Job) -> bool:
            return job.generation == plan.generation if plan.generation else job.can_mix

        backlog, left = self._backlog, self._limits.prefill_tokens
        if overdue is not None and belongs(overdue):
            seats.offer([overdue])
            left -= overdue.unfilled_tokens * (overdue in seats)
        seats.offer(_first(plan.first, backlog, is_closed=True))
        for job in chain(backlog.filling(), backlog.waiting.values()):
            if left <= 0 or seats.is_full:
                return
            if job is overdue or job.generated:
                continue
            if belongs(job):
                seats.offer([job])
            if job in seats:
                left -= job.unfilled_tokens
            elif not job.is_live:
                return


def _decoding(jobs: list[Job]) -> list[Work]:
    """A token for each. Without a call in Python for each of them."""
    fields = zip(jobs, repeat(1), repeat(False))
    return list(map(tuple.__new__, repeat(Work), fields))


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
    queues = [
        _jobs(group, is_closed=seats.is_closed)
        for group in groups
        if group is not None and group.can_mix
    ]
    return heapq.merge(*queues, key=order_of)


def _first(
    first: tuple[str, ...], backlog: Backlog, *, is_closed: bool
) -> Iterator[Job]:
    """The next job of each generation, for each of its mentions."""
    queues: dict[str, Iterator[Job]] = {}
    for generation in first:
        queue = queues.get(generation)
        if queue is None:
            group = backlog.groups[generation]
            queue = queues[generation] = _jobs(group, is_closed=is_closed)
        job = next(queue, None)
        if job is not None:
            yield job


def _jobs(group: Group, *, is_closed: bool) -> Iterator[Job]:
    return iter(group.holders) if is_closed else group.in_order()
