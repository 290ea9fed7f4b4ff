"""Outlook: how long jobs may have to wait at most, and how long they should expect to.

Bounds are hard, by measured costs: the largest step there can be has all seats, all the
prompt tokens it may, as many adapters as fit, and the rank and context of the largest
job so far. A job larger than all before it makes them longer for everybody. Where steps
are launched ahead, what is decided runs after one more of them: the one in the air is
added to the patience, as nobody can act on it. What is to be expected comes from the
lengths of past answers and the pace of late.
"""

from scheduler.accounts import Accounts
from scheduler.backlog import Backlog
from scheduler.costs import Costs, Mode, StepShape
from scheduler.job import Job
from scheduler.lengths import Lengths
from scheduler.limits import SchedulerLimits
from scheduler.policy import Bounded, Bounds, Policy
from scheduler.preemption import AGAIN
from scheduler.streams import Streams


class Outlook:
    """Owned by the scheduler."""

    def __init__(
        self,
        policy: Policy,
        limits: SchedulerLimits,
        *,
        backlog: Backlog,
        streams: Streams,
        accounts: Accounts,
        costs: Costs,
        lengths: Lengths,
    ) -> None:
        self._policy = policy if isinstance(policy, Bounded) else None
        self._backlog = backlog
        self._streams = streams
        self._accounts = accounts
        self._costs = costs
        self._lengths = lengths
        self._limits = limits
        self._largest = 0  # tokens that one job may have
        self._is_merging = False  # whether an adapter that must be merged was asked for

    def note(self, job: Job) -> None:
        """It was accepted."""
        self._largest = max(self._largest, job.most_tokens)
        self._is_merging |= not job.can_mix

    @property
    def step_s(self) -> float:
        """The largest step there can be, and the dearest swap before it."""
        rank, costs = self._accounts.highest_rank, self._costs
        cold = costs.swap_s(warm=False, rank=rank)
        return self._step_s() + max(cold, costs.swap_s(warm=True))

    @property
    def wait_bound_s(self) -> float | None:
        """For the first token. The steps ahead are those that everybody accepted before
        needs for his: one each, and one more for each `prefill_tokens` of prompt."""
        return None if self._policy is None else self._policy.wait_bound_s(self._now())

    @property
    def gap_bound_s(self) -> float | None:
        """Between two tokens, with the adapters that have streams now and one more."""
        return None if self._policy is None else self._policy.gap_bound_s(self._now())

    def drain_bound_s(self, free_kv_tokens: int) -> float:
        """Until there was KV for a first token of all who wait now, if it is short.

        Those in whose way others stand have them sent back (`Preemption`), as often as
        computing so much again takes no more than its share of the time: for each as
        much as it asks for, and one job more than it takes. And if the oldest of all
        leaves no room beside it, until that has ended.
        """
        backlog, limits = self._backlog, self._limits
        waiting = len(backlog.waiting)
        asked = backlog.waiting_kv_tokens + waiting * (limits.block_tokens - 1)
        if asked <= free_kv_tokens:
            return 0.0
        again = asked + (waiting + 1) * self._largest
        alone = 0
        if 2 * limits.whole_blocks(self._largest) > limits.kv_tokens:
            alone = self._largest * waiting
        again_s = self._costs.prefill_s(again) / AGAIN
        return again_s + alone * self.step_s

    def queue_s(self, free_kv_tokens: int) -> float:
        """How long it should take until all who wait now have begun.

        Those without KV need so many others to end before, as many as it takes to free
        what they ask for; those without a seat as many as there are too many of, unless
        first tokens do not wait for seats. At the pace of late, of answers of the usual
        length; and no less than their prompts take.
        """
        backlog, costs = self._backlog, self._costs
        waiting = len(backlog.waiting)
        if not waiting:
            return 0.0
        each_kv = backlog.waiting_kv_tokens / waiting
        ends = (backlog.waiting_kv_tokens - free_kv_tokens) / each_kv
        if self._policy is None:
            ends = max(ends, len(backlog) - self._limits.max_batch)
        answer = self._lengths.expected_remaining("", 0.0, each_kv)  # of anybody
        full = StepShape(Mode.MERGED, self._limits.max_batch)
        row = self._accounts.row_s or costs.step_s(full) / self._limits.max_batch
        one = costs.step_s(full._replace(prefill_tokens=1)) - costs.step_s(full)
        return max(ends * answer * row, backlog.unfilled_tokens * one + waiting * row)

    def _now(self) -> Bounds:
        """As of a job that is accepted now, of an adapter that nobody else asks for."""
        backlog, costs = self._backlog, self._costs
        flip = costs.swap_s(warm=True)
        steps = (
            backlog.unanswered + backlog.unfilled_tokens // self._limits.prefill_tokens
        )
        in_the_air = self.step_s if self._limits.launches_ahead else 0.0
        return Bounds(
            patience_s=self._limits.patience_s + in_the_air,
            step_s=self.step_s,
            aside_s=self.step_s if self._is_merging else self._step_s() + flip,
            steps_ahead=steps + 1,
            streams=len(self._streams) + 1,
        )

    def _step_s(self) -> float:
        n, adapters = self._limits.max_batch, self._limits.mixed_adapters
        ranks = adapters * self._accounts.highest_rank
        context = min(self._limits.kv_tokens, n * self._largest)
        prompts = self._limits.prefill_tokens
        return max(
            self._costs.step_s(StepShape(mode, n, adapters, ranks, prompts, context))
            for mode in Mode
        )
