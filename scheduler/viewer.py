"""Viewer: puts together what a policy may see of the scheduler's parts."""

from scheduler.accounts import Accounts
from scheduler.backlog import Backlog
from scheduler.costs import Costs
from scheduler.flights import Flights
from scheduler.group import Group
from scheduler.job import Job
from scheduler.limits import SchedulerLimits
from scheduler.policy import Front, Plan, View
from scheduler.streams import Streams


class Viewer:
    """Owned by the scheduler. Changes nothing."""

    def __init__(
        self,
        backlog: Backlog,
        streams: Streams,
        accounts: Accounts,
        flights: Flights,
        *,
        costs: Costs,
        limits: SchedulerLimits,
        builds_ahead: bool,
    ) -> None:
        self._backlog = backlog
        self._streams = streams
        self._accounts = accounts
        self._flights = flights
        self._costs = costs
        self._limits = limits
        self._builds_ahead = builds_ahead

    def view(
        self,
        now: float,
        front: Front,
        *,
        turn: Plan | None,
        newcomer: Job | None,
        overdue: Job | None,
        barred_after: int | None,
        free_kv_tokens: int,
    ) -> View:
        limits = self._limits
        return View(
            now=now,
            backlog=self._backlog,
            loads=self._backlog.groups,
            front=front,
            turn=turn,
            resident=self._flights.resident,
            warm=self._flights.warm,
            newcomer=self._group(newcomer),
            overdue=self._group(overdue),
            streams=self._streams.view(now),
            in_credit=self._accounts.in_credit,
            swap_budget_s=self._accounts.swap_budget_s,
            free_kv_tokens=free_kv_tokens,
            kv_tokens=limits.kv_blocks * limits.block_tokens,
            barred_after=barred_after,
            max_batch=limits.max_batch,
            prefill_tokens=limits.prefill_tokens,
            prompts_per_row=self._accounts.prompts_per_row,
            builds_ahead=self._builds_ahead,
            costs=self._costs,
        )

    def _group(self, job: Job | None) -> Group | None:
        return None if job is None else self._backlog.groups[job.generation]
