"""Group: the unfinished jobs of one generation, and what is counted of them.

A policy sees it as a `Load`. Every figure is kept as jobs come, go and progress; none
is summed up when it is asked for.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import chain, islice
from operator import attrgetter

from scheduler.decision import Queued
from scheduler.job import Job
from scheduler.lengths import Lengths

order_of = attrgetter("order")


class Group:
    """The unfinished jobs of one generation. Changed by the backlog alone."""

    __slots__ = (
        "_asked_tokens",
        "_lengths",
        "age_key",
        "can_merge",
        "can_mix",
        "context_tokens",
        "first_order",
        "generated_tokens",
        "generation",
        "holders",
        "jobs",
        "live",
        "preempted",
        "queue",
        "rank",
        "size_key",
        "unanswered",
        "unfilled_tokens",
        "waiting",
        "weight",
    )

    def __init__(self, job: Job, lengths: Lengths) -> None:
        self.generation = job.generation
        self.rank = job.rank
        self.can_merge = job.can_merge
        self.can_mix = job.can_mix
        self.weight = job.weight
        self.queue: list[Job] = []  # without KV, in order
        self.holders: list[Job] = []  # live, in order
        # The lengths of both and their sum: a policy asks for them all the time.
        self.waiting = self.live = self.jobs = 0
        self.unanswered = 0
        self.first_order = job.order  # of its first job; told by the backlog's index
        self.preempted = 0  # answered ones in the queue
        self.context_tokens = 0  # that the live jobs have in KV
        self.unfilled_tokens = 0  # to compute before all have their next token
        self.generated_tokens = 0  # by all its jobs
        self.size_key: tuple[int, tuple[int, int], str] | None = None
        self.age_key: tuple[tuple[int, int], str] | None = None
        self._asked_tokens = 0  # that all its jobs may generate
        self._lengths = lengths

    @property
    def head_kv_tokens(self) -> int:
        """KV that the first one in the queue asks for; 0 if none waits."""
        return self.queue[0].kv_tokens if self.queue else 0

    @property
    def streams(self) -> int:
        """Jobs that have begun to answer, and hold KV."""
        return self.jobs - self.unanswered - self.preempted

    @property
    def remaining_tokens(self) -> int:
        """What all its jobs may still generate."""
        return self._asked_tokens - self.generated_tokens

    @property
    def expected_steps(self) -> float:
        """Steps until a job of it ends, as a rule: by its past, at most as asked."""
        allowed = self.remaining_tokens / self.jobs
        begun = self.live + self.preempted
        age = self.generated_tokens / begun if begun else 0.0
        rest = self._lengths.expected_remaining(self.generation, age, age + allowed)
        return max(1.0, rest)

    def in_order(self) -> Iterator[Job]:
        return in_order(self.holders, self.queue)

    def queued(self) -> Queued:
        return Queued(
            generation=self.generation,
            waiting=self.waiting,
            live=self.live,
            since=min((job.arrival for job in self.queue), default=None),
            job=(self.holders or self.queue)[0].id,
        )

    def push(self, job: Job) -> None:
        insort(self.queue, job, key=order_of)
        self.waiting += 1
        self.jobs += 1
        self.unanswered += 1
        self.unfilled_tokens += job.unfilled_tokens
        self._asked_tokens += job.max_tokens

    def admit(self, job: Job) -> None:
        take(self.queue, job)
        insort(self.holders, job, key=order_of)
        self.waiting -= 1
        self.live += 1
        self.preempted -= job.generated > 0
        self.context_tokens += job.computed

    def send_back(self, job: Job) -> None:
        """To the queue, before it loses its KV."""
        take(self.holders, job)
        insort(self.queue, job, key=order_of)
        self.live -= 1
        self.waiting += 1
        self.preempted += job.generated > 0
        self.context_tokens -= job.computed

    def remove(self, job: Job) -> None:
        if job.is_live:
            take(self.holders, job)
            self.live -= 1
            self.context_tokens -= job.computed
        else:
            take(self.queue, job)
            self.waiting -= 1
            self.preempted -= job.generated > 0
        self.jobs -= 1
        self.unanswered -= not job.generated
        self.unfilled_tokens -= job.unfilled_tokens
        self.generated_tokens -= job.generated
        self._asked_tokens -= job.max_tokens


def in_order(holders: list[Job], queue: list[Job]) -> Iterator[Job]:
    """Both, each in order, as one. Without priorities who is live came first."""
    if not holders or not queue or holders[-1].order < queue[0].order:
        return chain(holders, queue)
    return _interleaved(holders, queue)


def _interleaved(holders: list[Job], queue: list[Job]) -> Iterator[Job]:
    """As heapq.merge, at a fifth of its price for two lists."""
    at = 0
    for job in holders:
        while at < len(queue) and queue[at].order < job.order:
            yield queue[at]
            at += 1
        yield job
    yield from islice(queue, at, None)


def take(jobs: list[Job], job: Job) -> None:
    """Remove `job` from jobs in order."""
    at = bisect_left(jobs, job.order, key=order_of)
    assert jobs[at] is job, f"{job} is not in order"
    del jobs[at]
