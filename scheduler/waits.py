"""Waits: whose wait for a first token is over, and who must leave KV to him.

Patience is the same for all, so those who run out of it do so in the order they were
submitted; a deadline is one job's own. But behind a flood, more jobs of one adapter
than there are seats, nobody else shall stand in line: every other step aside is
for an adapter with no more jobs than its part of the seats.
"""

from itertools import islice

from scheduler.backlog import Backlog
from scheduler.job import Job
from scheduler.limits import SchedulerLimits
from scheduler.outlook import Outlook

_LOOK = 64  # groups looked at: a decision must not grow with them


class Waits:
    """Owned by the scheduler."""

    def __init__(
        self, backlog: Backlog, outlook: Outlook, limits: SchedulerLimits
    ) -> None:
        self._backlog = backlog
        self._outlook = outlook
        self._max_batch = limits.max_batch
        self._limits = limits
        self._patience_s = limits.patience_s
        self._launches_ahead = limits.launches_ahead
        self._was_quiet = False  # the last one was for a quiet adapter

    def newcomer(self, now: float, free_kv_tokens: int) -> Job | None:
        """Of the unanswered jobs that can run, the one submitted first."""
        filling = self._backlog.oldest_filling()
        waiting = self._backlog.oldest_unanswered()
        if waiting is None or not self._fits(waiting, now, free_kv_tokens):
            return filling
        if filling is None or waiting.order[1] < filling.order[1]:
            return waiting
        return filling

    def overdue(
        self, now: float, newcomer: Job | None, free_kv_tokens: int
    ) -> Job | None:
        """The unanswered job that must not wait longer, if there is KV for it. Mutates
        whose turn it is."""
        if newcomer is not None and self.is_overdue(newcomer, now):
            quiet = None if self._was_quiet else self._quiet(now, free_kv_tokens)
            self._was_quiet = quiet is not None
            return quiet or newcomer
        if not self._backlog.has_deadlines:
            return None
        return self._urgent(now, free_kv_tokens)

    def _quiet(self, now: float, free_kv_tokens: int) -> Job | None:
        """The overdue job of a quiet adapter beside a flood."""
        backlog = self._backlog
        if next(backlog.by_size()).jobs <= self._max_batch:
            return None
        part = self._max_batch / float(backlog.weight)
        for group in islice(backlog.by_age(), _LOOK):
            if not group.unanswered or group.jobs > max(group.weight * part, 1.0):
                continue
            job = next(job for job in group.in_order() if not job.generated)
            if self.is_overdue(job, now) and self._fits(job, now, free_kv_tokens):
                return job
        return None

    def is_overdue(self, job: Job, now: float) -> bool:
        return now - job.arrival > self._patience_s

    def _urgent(self, now: float, free_kv_tokens: int) -> Job | None:
        """The job with the soonest deadline, if it can run and there is no more time
        left than its prompt and two steps take, and the one in the air."""
        job = self._backlog.soonest_deadline(now)
        if job is None or job.deadline is None:
            return None
        steps = (
            2
            + self._launches_ahead
            + job.unfilled_tokens // self._limits.prefill_tokens
        )
        if now + steps * self._outlook.step_s < job.deadline:
            return None
        return job if self._fits(job, now, free_kv_tokens) else None

    def _fits(self, job: Job, now: float, free_kv_tokens: int) -> bool:
        """Whether it has its KV, or may take it."""
        if job.is_live:
            return True
        barred = self.barred_after(now, free_kv_tokens)
        may = barred is None or job.order[1] <= barred
        return may and job.kv_tokens <= free_kv_tokens

    def barred_after(self, now: float, free_kv_tokens: int) -> int | None:
        """Number of an overdue job that lacks KV; later ones must not take it."""
        oldest = self._backlog.oldest_waiting()
        if (
            oldest is not None
            and oldest.kv_tokens > free_kv_tokens
            and self.is_overdue(oldest, now)
        ):
            return oldest.order[1]
        return None
