"""The backlog: all unfinished jobs, grouped by generation.

Order is the same everywhere: by priority, then as submitted. Waiting jobs hold no KV;
live jobs (running or parked) do. A job is unanswered until its first token. The
sorted indexes keep every question a policy asks from growing with the jobs that wait.
Knows no clock and no policy.
"""

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import count

from scheduler.decision import Work
from scheduler.group import Group, in_order, order_of, take
from scheduler.job import Job, JobState
from scheduler.lengths import Lengths


def number_of(job: Job) -> int:
    """Of its submission."""
    return job.order[1]


class BacklogFull(Exception):
    """More jobs wait than `max_waiting`: the caller may try again later."""

    def __init__(self, max_waiting: int) -> None:
        super().__init__(f"the queue is full: {max_waiting} jobs wait already")


class Backlog:
    """Owned by the scheduler."""

    def __init__(self, lengths: Lengths) -> None:
        self.groups: dict[str, Group] = {}
        self.waiting: dict[int, Job] = {}  # as submitted
        self.live: dict[int, Job] = {}  # as admitted
        self.unfilled_tokens = 0  # prompt tokens still to compute, of all jobs
        self.unanswered = 0
        self.waiting_kv_tokens = 0  # that the waiting jobs will ask for
        # Of all groups together; exact, as sums of floats drift and may end at nothing.
        self.weight = Fraction()
        self._filling: dict[int, Job] = {}  # live and unanswered, as admitted
        # Waiting ones that are allowed in a mixed step, and live ones, in order.
        self.mixable_queue: list[Job] = []
        self.mixable_holders: list[Job] = []
        self._by_size: list[tuple[int, tuple[int, int], str]] = []
        self._by_age: list[tuple[tuple[int, int], str]] = []
        self._deadlines: list[tuple[float, int, Job]] = []  # a heap; some have left
        self._numbers = count()
        self._lengths = lengths

    @property
    def has_deadlines(self) -> bool:
        return bool(self._deadlines)

    def __len__(self) -> int:
        return len(self.waiting) + len(self.live)

    def get(self, job_id: int) -> Job | None:
        return self.live.get(job_id) or self.waiting.get(job_id)

    def push(self, job: Job) -> None:
        """Append a waiting job to its group."""
        job.order = job.priority, next(self._numbers)
        group = self.groups.get(job.generation)
        if group is None:
            group = self.groups[job.generation] = Group(job, self._lengths)
            self.weight += Fraction(group.weight)
        group.push(job)
        self.waiting[job.id] = job
        self.waiting_kv_tokens += job.kv_tokens
        self.unanswered += 1
        self.unfilled_tokens += job.prompt_tokens
        if job.can_mix:
            insort(self.mixable_queue, job, key=order_of)
        if job.deadline is not None:
            heapq.heappush(self._deadlines, (job.deadline, job.order[1], job))
        self._index(group)

    def admit(self, job: Job) -> None:
        """Move a waiting job to the live ones of its group."""
        self.groups[job.generation].admit(job)
        self.waiting_kv_tokens -= job.kv_tokens
        self.live[job.id] = self._filling[job.id] = self.waiting.pop(job.id)
        if job.can_mix:
            take(self.mixable_queue, job)
            insort(self.mixable_holders, job, key=order_of)

    def progress(self, work: Iterable[Work]) -> dict[str, int]:
        """Count what a step did for the jobs that still run: prompt tokens, and a token
        if no more of the prompt is left. Returns such tokens by generation."""
        groups, running = self.groups, JobState.RUNNING
        answered: list[str] = []  # the generation of each that had a token
        for job, tokens, is_prefill in work:
            if job.state is not running:
                continue
            if is_prefill and not self._fill(job, tokens):
                continue
            job.generated += 1
            answered.append(job.generation)
        tokens_of = dict(Counter(answered))
        for name, n in tokens_of.items():
            groups[name].generated_tokens += n
        return tokens_of

    def _fill(self, job: Job, tokens: int) -> bool:
        """Count tokens of its prompt. True if no more are left: it begins to answer."""
        group = self.groups[job.generation]
        job.prefilled += tokens
        group.prefilled_tokens += tokens
        self.unfilled_tokens -= tokens
        if job.prefilled < job.prompt_tokens:
            return False
        del self._filling[job.id]
        group.unanswered -= 1
        self.unanswered -= 1
        return True

    def remove(self, job: Job) -> Group:
        """Forget a job, waiting or live; returns what is left of its group."""
        group = self.groups[job.generation]
        group.remove(job)
        self.unfilled_tokens -= job.unfilled_tokens
        self.unanswered -= not job.generated
        is_waiting = job.state is JobState.WAITING
        self.waiting_kv_tokens -= is_waiting * job.kv_tokens
        del (self.waiting if is_waiting else self.live)[job.id]
        self._filling.pop(job.id, None)
        if job.can_mix:
            take(self.mixable_queue if is_waiting else self.mixable_holders, job)
        self._index(group)
        if not group.jobs:
            del self.groups[job.generation]
            self.weight -= Fraction(group.weight)
        return group

    def oldest_waiting(self) -> Job | None:
        return next(iter(self.waiting.values()), None)

    def oldest_filling(self) -> Job | None:
        """The live job without a first token that was submitted first."""
        return min(self._filling.values(), key=number_of, default=None)

    def filling(self) -> list[Job]:
        """The live jobs without a first token, as submitted."""
        return sorted(self._filling.values(), key=number_of)

    def soonest_deadline(self, now: float) -> Job | None:
        """The unanswered job whose deadline, not yet over, comes first."""
        while self._deadlines:
            deadline, _, job = self._deadlines[0]
            if deadline >= now and not job.generated and self.get(job.id) is job:
                return job
            heapq.heappop(self._deadlines)
        return None

    def mixable(self) -> Iterator[Job]:
        """Jobs that a mixed step may serve, in order. Valid until a change."""
        return in_order(self.mixable_holders, self.mixable_queue)

    def mixable_live(self) -> Iterator[Job]:
        return iter(self.mixable_holders)

    def by_size(self) -> Iterator[Group]:
        """Groups, the one with most jobs first; ties by order."""
        return (self.groups[key[2]] for key in self._by_size)

    def by_age(self) -> Iterator[Group]:
        """Groups in the order of their first jobs."""
        return (self.groups[key[1]] for key in self._by_age)

    def check(self) -> None:
        """Assert that the indexes agree. For tests and for an idle engine."""
        groups = self.groups.values()
        waiting = {job.id for group in groups for job in group.queue}
        live = {job.id for group in groups for job in group.holders}
        assert waiting == set(self.waiting), "waiting index differs"
        assert live == set(self.live), "live index differs"
        for job in self.waiting.values():
            assert job.state is JobState.WAITING, f"{job} is listed as waiting"
        for job in self.live.values():
            assert job.state in (JobState.RUNNING, JobState.PARKED), f"{job} is live"
        for group in groups:
            assert (group.waiting, group.live, group.jobs) == (
                len(group.queue),
                len(group.holders),
                len(group.queue) + len(group.holders),
            ), f"jobs of {group.generation} are counted wrongly"
        firsts = [(next(group.in_order()).order, group) for group in groups]
        sizes = [(-group.jobs, first, group.generation) for first, group in firsts]
        assert sorted(sizes) == self._by_size, "sizes differ"
        assert sorted(size[1:] for size in sizes) == self._by_age, "ages differ"
        jobs = [job for group in groups for job in group.in_order()]
        filling = {job.id for job in jobs if job.id in live and not job.generated}
        assert filling == set(self._filling), "jobs without a first token differ"
        for found, expected in (
            (self.unanswered, sum(not job.generated for job in jobs)),
            (self.unfilled_tokens, sum(job.unfilled_tokens for job in jobs)),
            (self.unfilled_tokens, sum(group.unfilled_tokens for group in groups)),
            (
                self.waiting_kv_tokens,
                sum(job.kv_tokens for job in self.waiting.values()),
            ),
            (
                sum(group.context_tokens for group in groups),
                sum(job.prefilled + job.generated for job in jobs),
            ),
            (
                sum(group.remaining_tokens for group in groups),
                sum(job.max_tokens - job.generated for job in jobs),
            ),
            (
                len(self.mixable_queue) + len(self.mixable_holders),
                sum(job.can_mix for job in jobs),
            ),
        ):
            assert found == expected, f"a count is {found}, not {expected}"

    def _index(self, group: Group) -> None:
        """Put the group where its jobs now belong in the sorted indexes."""
        if group.size_key is not None and group.age_key is not None:
            del self._by_size[bisect_left(self._by_size, group.size_key)]
            del self._by_age[bisect_left(self._by_age, group.age_key)]
        if group.jobs:
            heads = [jobs[0].order for jobs in (group.queue, group.holders) if jobs]
            first = group.first_order = min(heads)
            group.size_key = -group.jobs, first, group.generation
            group.age_key = first, group.generation
            insort(self._by_size, group.size_key)
            insort(self._by_age, group.age_key)
