"""Preemption: who gives up KV when it is short, for whom, and how often.

A job is admitted with what it should need by the lengths of past answers, and grows.
Jobs that run together are of all ages and have on the mean half of what they will have:
so each comes with half of its answer.

When no block is free, blocks that others hold for tokens to come are taken; then the
job that loses least is sent back: it keeps its tokens, and computes them again when its
turn comes (recomputation, as vLLM). That is the one with least in its KV, among those
that were never sent back and had a token since they came, if there are any.

The oldest of all jobs is never sent back, and if it was before, others make room for
it: a stream stands still no longer than until those before it have ended. For first
tokens whose patience is over others make room, too, as far as a budget allows: what is
computed again for them takes a small share of the time.
"""

from collections.abc import Callable, Iterable, Set
from math import ceil

from scheduler.backlog import Backlog, number_of
from scheduler.costs import Costs
from scheduler.job import Job, JobEvent
from scheduler.kv_cache import KVCache
from scheduler.lengths import Lengths
from scheduler.limits import SchedulerLimits
from scheduler.streams import Streams

AGAIN = 0.01  # share of time for what is computed again for first tokens
_BURST_S = 20.0  # of what it earns, kept


class Preemption:
    """Owned by the scheduler."""

    def __init__(
        self,
        backlog: Backlog,
        kv: KVCache,
        streams: Streams,
        lengths: Lengths,
        costs: Costs,
        *,
        limits: SchedulerLimits,
    ) -> None:
        self.count = 0  # jobs sent back so far
        self._backlog = backlog
        self._kv = kv
        self._streams = streams
        self._lengths = lengths
        self._costs = costs
        self._limits = limits
        self._budget_s = 0.0

    def expected_tokens(self, job: Job) -> int:
        """To ask for. One that was sent back grows by as much again as it had, or the
        next block that is short would send it back again."""
        age, most = job.generated, job.max_tokens
        rest = self._lengths.expected_remaining(job.generation, age, most)
        least = age if job.recomputed else 1
        return min(job.tokens + max(ceil(rest / 2), least), job.most_tokens)

    def earn(self, seconds: float) -> None:
        """So much time has passed in steps."""
        self._budget_s = min(self._budget_s + AGAIN * seconds, AGAIN * _BURST_S)

    def admit(self, job: Job) -> None:
        """Give a waiting job what it asks for, which is free. It runs from now on."""
        self._backlog.found(job, self._kv.give(job))
        self._backlog.admit(job)
        job.move(JobEvent.ADMIT)

    def make_room(self, running: Set[int]) -> None:
        """For those who had the last step, by id, and for the oldest of all."""
        live = self._backlog.live
        self._grow([live[job_id] for job_id in running & live.keys()])
        self._admit_oldest()

    def _grow(self, jobs: Iterable[Job]) -> None:
        """A block at least for each of these whose KV is full, the oldest first; or it
        is sent back itself."""
        short = [job for job in jobs if job.computed >= job.kv_end]
        for job in sorted(short, key=number_of):
            while job.is_live and not self._kv.grow(job, self.expected_tokens(job)):
                if self._take_spare():
                    continue
                self._send_back(min(self._losers(), key=_loss))

    def _admit_oldest(self) -> None:
        """If the oldest of all jobs was sent back, others make room for it."""
        job = self._backlog.oldest_waiting()
        if job is None or not job.recomputed:
            return
        if job.kv_tokens <= self._kv.free_tokens:
            return
        if all(
            number_of(job) < number_of(each) for each in self._backlog.live.values()
        ):
            self._make_room(job, self._losers(), 0)

    def admit_overdue(self, is_overdue: Callable[[Job], bool]) -> None:
        """Room for the first token that is overdue longest, as the budget allows. What
        is free stays for older jobs that wait for it."""
        job = self._backlog.oldest_unanswered()
        if job is None or not is_overdue(job):
            return
        left = 0
        if self._backlog.oldest_waiting() is not job:
            left = self._kv.free_tokens
        elif job.kv_tokens <= self._kv.free_tokens:
            return
        if self._budget_s < 0.0:
            return
        going = [
            each for each in self._losers() if each.generated > each.generated_before
        ]
        self._make_room(job, going, left)

    def _make_room(self, job: Job, losers: Iterable[Job], left: int) -> None:
        """Give it the least it can run with, and leave so much to others. It is parked
        until it is seated. Nobody is sent back in vain."""
        wanted = self._limits.whole_blocks(job.tokens + 1) + left
        going = sorted(losers, key=_loss, reverse=True)
        staying = [each for each in self._backlog.live.values() if each not in going]
        spare = sum(map(self._kv.spare, staying)) * self._limits.block_tokens
        room = self._kv.free_tokens + spare + sum(map(self._kv.held_alone, going))
        if room < wanted:
            return
        while self._kv.free_tokens < wanted:
            if going:
                loser = going.pop()
                self._budget_s -= self._costs.prefill_s(loser.computed)
                self._send_back(loser)
            elif not self._take_spare():
                return  # blocks that two of those who went had together
        self._backlog.ask(job, job.tokens + 1)
        self.admit(job)
        job.move(JobEvent.PARK)

    def _losers(self) -> list[Job]:
        """The live jobs, without the oldest of all."""
        live = self._backlog.live.values()
        waiting = self._backlog.oldest_waiting()
        heads = [*live] if waiting is None else [*live, waiting]
        oldest = min(heads, key=number_of, default=None)
        return [job for job in live if job is not oldest]

    def _take_spare(self) -> bool:
        """A block that a job holds for tokens to come, or False."""
        live = self._backlog.live.values()
        job = max(live, key=self._kv.spare, default=None)
        if job is None or self._kv.spare(job) <= 0:
            return False
        self._kv.cut(job, 1)
        return True

    def _send_back(self, job: Job) -> None:
        self.count += 1
        job.recomputed += job.computed
        job.generated_before = job.generated
        self._kv.leave(job)
        job.kv_tokens = self.expected_tokens(job)
        job.move(JobEvent.PREEMPT)
        self._backlog.send_back(job)
        self._streams.leave(self._backlog.groups[job.generation])


def _loss(job: Job) -> tuple[bool, int, int, int]:
    has_progress = job.generated > job.generated_before
    return not has_progress, job.recomputed, job.computed, -number_of(job)
