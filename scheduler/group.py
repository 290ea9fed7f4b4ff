"""Group: the unfinished jobs of one generation, and what is counted of them.

A policy sees it as a `Load`. Every figure is kept as jobs come, go and progress; none
is summed up when it is asked for.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter

from scheduler.job import Job, JobState
from scheduler.lengths import Lengths

order_of = attrgetter("order")


class Group:
    """The unfinished jobs of one generation. Changed by the backlog alone."""

    __slots__ = (
        "_generated",
        "_lengths",
        "age_key",
        "can_merge",
        "can_mix",
        "context_tokens",
        "generation",
        "holders",
        "queue",
        "rank",
        "remaining_tokens",
        "size_key",
        "unanswered",
        "unfilled_tokens",
        "weight",
    )

    def __init__(self, job: Job, lengths: Lengths) -> None:
        self.generation = job.generation
        self.rank = job.rank
        self.can_merge = job.can_merge
        self.can_mix = job.can_mix
        self.weight = job.weight
        self.queue: list[Job] = []  # waiting, in order
        self.holders: list[Job] = []  # live, in order
        self.unanswered = 0
        self.unfilled_tokens = 0  # prompt tokens still to compute
        self.context_tokens = 0  # that the live jobs have in KV
        self.remaining_tokens = 0  # that all its jobs may still generate
        self.size_key: tuple[int, tuple[int, int], str] | None = None
        self.age_key: tuple[tuple[int, int], str] | None = None
        self._generated = 0  # by the live jobs
        self._lengths = lengths

    @property
    def waiting(self) -> int:
        return len(self.queue)

    @property
    def live(self) -> int:
        return len(self.holders)

    @property
    def jobs(self) -> int:
        return len(self.queue) + len(self.holders)

    @property
    def head_kv_tokens(self) -> int:
        """KV that the first waiting job asks for; 0 if none waits."""
        return self.queue[0].kv_tokens if self.queue else 0

    @property
    def first_order(self) -> tuple[int, int]:
        heads = [jobs[0].order for jobs in (self.queue, self.holders) if jobs]
        return min(heads)

    @property
    def expected_steps(self) -> float:
        """Steps until a job of it ends, as a rule: by its past, at most as asked."""
        allowed = self.remaining_tokens / self.jobs
        age = self._generated / self.live if self.live else 0.0
        rest = self._lengths.expected_remaining(self.generation, age, age + allowed)
        return max(1.0, rest)

    def in_order(self) -> Iterator[Job]:
        return in_order(self.holders, self.queue)

    def generated(self, tokens: int) -> None:
        self._generated += tokens
        self.remaining_tokens -= tokens

    def admit(self, job: Job) -> None:
        take(self.queue, job)
        insort(self.holders, job, key=order_of)

    def remove(self, job: Job) -> None:
        take(self.queue if job.state is JobState.WAITING else self.holders, job)
        self.remaining_tokens -= job.max_tokens - job.generated
        self._generated -= job.generated
        self.unfilled_tokens -= job.unfilled_tokens
        self.unanswered -= not job.generated
        self.context_tokens -= job.prefilled + job.generated


def in_order(holders: list[Job], queue: list[Job]) -> Iterator[Job]:
    """Both, each in order, as one. Without priorities who is live came first."""
    if not holders or not queue or holders[-1].order < queue[0].order:
        return chain(holders, queue)
    return heapq.merge(holders, queue, key=order_of)


def take(jobs: list[Job], job: Job) -> None:
    """Remove `job` from jobs in order."""
    at = bisect_left(jobs, job.order, key=order_of)
    assert jobs[at] is job, f"{job} is not in order"
    del jobs[at]
