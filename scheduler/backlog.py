"""The backlog: all unfinished jobs, grouped by generation.

Order is the same everywhere: by priority, then as submitted. Waiting jobs, those that
were preempted among them, hold no KV; live jobs (running or parked) do. A job is
unanswered until its first token. The sorted indexes keep every question a policy asks
from growing with the jobs that wait. Knows no clock and no policy.
"""

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
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
        self.queued: Counter[Hashable] = Counter()  # waiting jobs, by their queues
        self.live: dict[int, Job] = {}  # as admitted
        self.unfilled_tokens = 0  # to compute before all have their next token
        self.unanswered = 0
        self.waiting_kv_tokens = 0  # that the waiting jobs ask for
        # Of all groups together; exact, as sums of floats drift and may end at nothing.
        self.weight = Fraction()
        self.live_unanswered: dict[int, Job] = {}  # as admitted
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
        self._count(job, 1)
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
        self._count(job, -1)
        self.waiting_kv_tokens -= job.kv_tokens
        self.live[job.id] = self.waiting.pop(job.id)
        if not job.generated:
            self.live_unanswered[job.id] = job
        if job.can_mix:
            take(self.mixable_queue, job)
            insort(self.mixable_holders, job, key=order_of)

    def send_back(self, job: Job) -> None:
        """Move a live job to the waiting ones, where it was when it was submitted. It
        has all of its tokens to compute again, and asks for KV as before."""
        group = self.groups[job.generation]
        group.send_back(job)
        del self.live[job.id]
        self.live_unanswered.pop(job.id, None)
        waiting = sorted([*self.waiting.values(), job], key=number_of)
        self.waiting = {each.id: each for each in waiting}
        self._count(job, 1)
        self.waiting_kv_tokens += job.kv_tokens
        if job.can_mix:
            take(self.mixable_holders, job)
            insort(self.mixable_queue, job, key=order_of)
        self._refill(job, job.tokens)
        job.computed = 0
        self._index(group)

    def found(self, job: Job, tokens: int) -> None:
        """So many of its first tokens are in the KV that it was given, waiting."""
        self._refill(job, job.unfilled_tokens - tokens)
        job.computed = tokens

    def ask(self, job: Job, kv_tokens: int) -> None:
        """It waits for so much KV from now on."""
        self.waiting_kv_tokens += kv_tokens - job.kv_tokens
        job.kv_tokens = kv_tokens

    def _refill(self, job: Job, tokens: int) -> None:
        """So many are to be computed before it samples its next one."""
        more = tokens - job.unfilled_tokens
        self.unfilled_tokens += more
        self.groups[job.generation].unfilled_tokens += more
        job.unfilled_tokens = tokens

    def progress(self, work: Iterable[Work]) -> dict[str, int]:
        """Count what a step did for the jobs that still run: tokens computed, and one
        sampled if none was left to fill. Returns such tokens by generation."""
        groups, running = self.groups, JobState.RUNNING
        filled: list[str] = []  # the generation of each that has its prompt now
        decoded: list[str] = []  # of each that decoded
        for job, tokens, is_prefill in work:
            if job.state is not running:
                continue
            if not is_prefill:
                job.computed += 1
                decoded.append(job.generation)
            elif self._fill(job, tokens):
                filled.append(job.generation)
            else:
                continue
            job.generated += 1
        tokens_of = Counter(decoded)
        for name, n in tokens_of.items():
            groups[name].context_tokens += n
        tokens_of.update(filled)
        for name, n in tokens_of.items():
            groups[name].generated_tokens += n
        return tokens_of

    def _fill(self, job: Job, tokens: int) -> bool:
        """Count tokens computed. True if no more are left: it has its next token."""
        group = self.groups[job.generation]
        self._refill(job, job.unfilled_tokens - tokens)
        job.computed += tokens
        group.context_tokens += tokens
        if job.unfilled_tokens:
            return False
        if not job.generated:
            del self.live_unanswered[job.id]
            group.unanswered -= 1
            self.unanswered -= 1
        return True

    def remove(self, job: Job) -> Group:
        """Forget a job, waiting or live; returns what is left of its group."""
        group = self.groups[job.generation]
        group.remove(job)
        self.unfilled_tokens -= job.unfilled_tokens
        self.unanswered -= not job.generated
        self.waiting_kv_tokens -= (not job.is_live) * job.kv_tokens
        self._count(job, -(not job.is_live))
        del (self.live if job.is_live else self.waiting)[job.id]
        self.live_unanswered.pop(job.id, None)
        if job.can_mix:
            take(self.mixable_holders if job.is_live else self.mixable_queue, job)
        self._index(group)
        if not group.jobs:
            del self.groups[job.generation]
            self.weight -= Fraction(group.weight)
        return group

    def oldest_waiting(self) -> Job | None:
        return next(iter(self.waiting.values()), None)

    def oldest_unanswered(self) -> Job | None:
        """The one without KV and without a first token that was submitted first."""
        return next((j for j in self.waiting.values() if not j.generated), None)

    def oldest_filling(self) -> Job | None:
        """The live job without a first token that was submitted first."""
        return min(self.live_unanswered.values(), key=number_of, default=None)

    def filling(self) -> list[Job]:
        """The live jobs without a first token, as submitted."""
        return sorted(self.live_unanswered.values(), key=number_of)

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

    def _count(self, job: Job, more: int) -> None:
        """So many of its kind wait now in each of its queues."""
        for queue in job.queues:
            self.queued[queue] += more
            if not self.queued[queue]:  # of names there is no end
                del self.queued[queue]

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
