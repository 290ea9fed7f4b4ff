"""Seats: who may take part in one step, as far as there is room.

Jobs are offered in order; each is seated if a seat, KV and the adapters of a mixed step
allow it. Once a waiting job finds too little KV, no later one may take what it waits
for. Changes nothing but itself.
"""

from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property
from operator import attrgetter

from scheduler.group import order_of
from scheduler.job import BASE, Job
from scheduler.limits import SchedulerLimits

id_of, generation_of = attrgetter("id"), attrgetter("generation")
computed_of, unfilled_of = attrgetter("computed"), attrgetter("unfilled_tokens")


class Seats:
    """The seats of one step. `barred_after`: later submissions may take no KV."""

    def __init__(
        self, limits: SchedulerLimits, *, free_kv_tokens: int, barred_after: int | None
    ) -> None:
        self.jobs: list[Job] = []
        self.generations: list[str] = []  # of each job
        self.admitted: list[Job] = []
        self.adapters: set[str] = set()
        self.is_closed = False  # to waiting jobs
        self.ids: set[int] = set()
        self._limits = limits
        self._max_batch = limits.max_batch
        self._max_adapters = limits.mixed_adapters
        self._free = free_kv_tokens
        self._barred_after = barred_after

    @property
    def is_prefilling(self) -> bool:
        """Whether one of them is."""
        return any(map(unfilled_of, self.jobs))

    @cached_property
    def context_tokens(self) -> int:
        """What they have in KV; to be asked when all are seated."""
        return sum(map(computed_of, self.jobs))

    @property
    def is_full(self) -> bool:
        return len(self.jobs) >= self._max_batch

    @property
    def is_narrow(self) -> bool:
        """No more adapters may join."""
        return len(self.adapters) >= self._max_adapters

    def have_room_for(self, generations: int) -> bool:
        """Whether so many may all join, as far as adapters go."""
        return self._max_adapters >= min(generations, self._max_batch)

    def __contains__(self, job: Job) -> bool:
        return job.id in self.ids

    def offer(self, jobs: Iterable[Job]) -> bool:
        """Seat whoever may be, in order. False if it stopped, at a job that could not
        be seated, because fewer kinds of jobs may be from now on."""
        seated, ids, adapters = self.jobs, self.ids, self.adapters
        left, most = self._max_batch - len(seated), self._max_adapters
        was_closed, was_narrow = self.is_closed, self.is_narrow
        for job in jobs:
            if job.id in ids:
                continue
            if not left:
                break
            generation = job.generation
            is_other = generation not in adapters and generation != BASE
            if (is_other and len(adapters) >= most) or (
                not job.is_live and not self._reserve(job)
            ):
                if (was_closed, was_narrow) != (self.is_closed, self.is_narrow):
                    return False
                continue
            left -= 1
            if is_other:
                adapters.add(generation)
            ids.add(job.id)
            seated.append(job)
            self.generations.append(generation)
        return True

    def fill(self, holders: list[Job], queue: list[Job]) -> None:
        """Seat live jobs and waiting ones, each in order, as one: what `offer` does
        where there is room for all adapters, but by runs of live jobs."""
        at = 0
        for job in queue:
            if self.is_closed or self.is_full:
                break
            to = bisect_left(holders, job.order, lo=at, key=order_of)
            self._seat(holders[at:to])
            at = to
            self._admit(job)
        self._seat(holders[at:])

    def fill_in_turn(self, jobs: list[Job]) -> None:
        """The same of live jobs and waiting ones that stand in one list."""
        at = 0
        for to in [n for n, job in enumerate(jobs) if not job.is_live]:
            self._seat(jobs[at:to])
            at = to + 1
            self._admit(jobs[to])
        self._seat(jobs[at:])

    def _admit(self, job: Job) -> None:
        if not self.is_full and job.id not in self.ids and self._reserve(job):
            self._seat([job])

    def _seat(self, run: list[Job]) -> None:
        ids = self.ids
        if ids:
            run = [job for job in run if job.id not in ids]
        run = run[: self._max_batch - len(self.jobs)]
        self.jobs += run
        ids.update(map(id_of, run))
        generations = list(map(generation_of, run))
        self.generations += generations
        self.adapters.update(generations)
        self.adapters.discard(BASE)

    def _reserve(self, job: Job) -> bool:
        """KV for a waiting job; False if there is none for it or for anybody."""
        kv_tokens, barred = self._limits.whole_blocks(job.kv_tokens), self._barred_after
        if kv_tokens > self._free or (barred is not None and job.order[1] > barred):
            self.is_closed = True
        if self.is_closed:
            return False
        self._free -= kv_tokens
        self.admitted.append(job)
        return True
