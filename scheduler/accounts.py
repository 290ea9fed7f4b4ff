"""Accounts: what steps and swaps took, and whom it is charged to.

Learns the costs, charges time to the generations that had it, and keeps swaps within
their budget: each second that passes allows for `switch_budget` of swapping, and what
was not spent is kept for `_BURST_S`. A swap that is a must may overdraw it; what is
overdrawn is paid back for as long at most, or an hour of such swaps would forbid all
others for many.
"""

from collections.abc import Iterable, Set
from typing import NamedTuple

from scheduler.backlog import Backlog
from scheduler.costs import Costs
from scheduler.decision import Outcome, Step
from scheduler.deficits import Deficits
from scheduler.group import Group
from scheduler.job import Job
from scheduler.limits import SchedulerLimits

_BURST_S = 20.0
_FADE = 0.99  # a step, against the next


class Charge(NamedTuple):
    """Who is charged for a step, and which part of its seconds: 1.0 if all the jobs it
    could take were of that group's."""

    group: Group
    attended: float


class Accounts:
    """Owned by the scheduler."""

    def __init__(self, backlog: Backlog, costs: Costs, limits: SchedulerLimits) -> None:
        self.highest_rank = 0  # of all adapters so far
        self.swap_budget_s = self._most_s = _BURST_S * limits.switch_budget
        self._backlog = backlog
        self._costs = costs
        self._switch_budget = limits.switch_budget
        self._max_batch = limits.max_batch
        self._deficits = Deficits()
        self._rows = self._seconds = self._prompts = 0.0  # of late: they fade

    @property
    def in_credit(self) -> Set[str]:
        """Generations with some of their share of time left."""
        return self._deficits.in_credit

    def join(self, job: Job) -> None:
        """It was accepted."""
        self._deficits.join(job.generation)
        self.highest_rank = max(self.highest_rank, job.rank)

    def leave(self, generation: str) -> None:
        """It has no jobs any more."""
        self._deficits.leave(generation)

    def refill(self) -> None:
        """Begin a new round of shares if one is over.

        A generation with a batch of jobs has so much time that one swap for each keeps
        within the budget; one that fills a quarter of the seats has a quarter of that:
        its few rows, if they had as much time as full batches, would cost everybody.
        Where some are served merged only, who need a swap for each of their turns, all
        have so many times that as gives it to one of these with their mean of jobs. But
        short rounds are short waits: as long as the budget is all but whole they stay.
        """
        if self._deficits.in_credit:
            return
        groups, seats = self._backlog.groups, float(self._max_batch)
        swap = self._costs.swap_s(warm=False, rank=self.highest_rank)
        whole = swap * (1.0 - self._switch_budget) / self._switch_budget
        alone = [group.jobs for group in groups.values() if not group.can_mix]
        if alone and self.swap_budget_s < self._most_s - 2 * swap:
            whole *= max(1.0, seats * len(alone) / sum(alone))

        def quantum_s(generation: str) -> float:
            group = groups[generation]
            jobs = group.jobs
            return whole * group.weight * (jobs / seats if jobs < seats else 1.0)

        self._deficits.refill(quantum_s)

    @property
    def row_s(self) -> float:
        """Seconds for a row of late, with swaps and prompts; 0 at first."""
        return self._seconds / self._rows if self._rows else 0.0

    @property
    def prompts_per_row(self) -> float:
        """Prompt tokens computed for each row of late; 0 at first."""
        return self._prompts / self._rows if self._rows else 0.0

    def set_aside(self, *, warm: bool, rank: int) -> float:
        """Take what a swap should cost from the budget before it is measured; returns
        that, in seconds."""
        seconds = self._costs.swap_s(warm=warm, rank=rank)
        self.swap_budget_s -= seconds
        return seconds

    def charges(self, step: Step) -> list[Charge]:
        """Whom a step is charged to: those it serves that are in credit. To be asked
        before its jobs move on."""
        groups, in_credit, seats = self._backlog.groups, self.in_credit, self._max_batch
        charges = []
        for name, n in step.rows.items():
            group = groups.get(name) if name in in_credit else None
            if group is not None:
                attended = n / min(group.jobs, seats) if group.jobs > n else 1.0
                charges.append(Charge(group, attended))
        return charges

    def settle(
        self,
        step: Step,
        outcome: Outcome,
        charges: Iterable[Charge],
        *,
        set_aside_s: float,
    ) -> None:
        """Take in what a step took. `set_aside_s`: of the swap budget, for its swap. A
        group that has left since is not charged, nor is a later one of its name."""
        if not outcome.restacked:
            self._costs.learn_step(step.shape, outcome.seconds)
        generation, swap_s = step.plan.generation, 0.0
        if outcome.swap is not None:
            swap_s = outcome.swap.seconds
            rank = 0 if generation is None else step.work[0].job.rank
            self._costs.learn_swap(warm=outcome.swap.warm, seconds=swap_s, rank=rank)
        most = self._most_s
        earned = self._switch_budget * (outcome.seconds + swap_s)
        left = self.swap_budget_s + set_aside_s
        self.swap_budget_s = max(min(most, left + earned) - swap_s, -most)
        self._rows = _FADE * self._rows + len(step.work)
        self._seconds = _FADE * self._seconds + outcome.seconds + swap_s
        self._prompts = _FADE * self._prompts + step.prefill_tokens
        groups = self._backlog.groups
        for group, attended in charges:
            if groups.get(group.generation) is group:
                self._deficits.debit(group.generation, outcome.seconds * attended)
        if generation is not None:
            self._deficits.charge(generation, swap_s)

    def built_ahead(self, generation: str, seconds: float) -> None:
        """A slot was built between steps."""
        self.swap_budget_s -= seconds
        group = self._backlog.groups.get(generation)
        if group is not None:
            self._costs.learn_swap(warm=False, seconds=seconds, rank=group.rank)
            self._deficits.charge(generation, seconds)
