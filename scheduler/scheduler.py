"""Scheduler: owns every job's state, asks the policy, deals out seats, KV and tokens.

    submit -> decide -> (the engine runs the step) -> report -> decide ...
    decide -> advance -> decide -> advance -> report the first -> decide -> advance ...

No I/O, no clock, no randomness: the same calls give the same answers.
"""

from collections import deque
from functools import partial

from scheduler.accounts import Accounts
from scheduler.audit import audit
from scheduler.backlog import Backlog, BacklogFull
from scheduler.batch_builder import BatchBuilder
from scheduler.census import Census
from scheduler.costs import Costs
from scheduler.decision import Decision, Idle, Outcome, Recent, Step
from scheduler.flights import Flights
from scheduler.job import Job, JobEvent, JobState
from scheduler.kv_cache import KVCache
from scheduler.lengths import Lengths
from scheduler.limits import SchedulerLimits
from scheduler.outlook import Outlook
from scheduler.policy import Bounded, Plan, Policy
from scheduler.preemption import Preemption
from scheduler.seats import Seats
from scheduler.streams import Streams
from scheduler.viewer import Viewer
from scheduler.waits import Waits


class Scheduler:
    """One owner, one thread."""

    def __init__(
        self,
        policy: Policy,
        limits: SchedulerLimits,
        *,
        builds_ahead: bool = True,
        costs: Costs | None = None,
    ) -> None:
        """`builds_ahead`: whether a slot can be built between steps. `costs`: what a
        calibration has learned."""
        self.costs = costs or Costs()
        self.kv_tokens = limits.kv_blocks * limits.block_tokens
        self._kv, self.max_waiting = (kv := KVCache(limits)), limits.max_waiting
        self._policy, self._limits = policy, limits
        self.max_batch = limits.max_batch
        self._backlog = backlog = Backlog(lengths := Lengths())
        self.queued = backlog.queued  # waiting jobs, by their queues; to be read
        self.census = Census(backlog)
        self._streams = Streams(backlog, limits)
        self._accounts = Accounts(backlog, self.costs, limits)
        self._flights = Flights(backlog, self._streams, self._accounts, lengths)
        self._preemption = Preemption(
            backlog, kv, self._streams, lengths, self.costs, limits=limits
        )
        self._outlook = Outlook(
            policy,
            limits,
            backlog=backlog,
            streams=self._streams,
            accounts=self._accounts,
            costs=self.costs,
            lengths=lengths,
        )
        self._waits = Waits(backlog, self._outlook, limits)
        self._builder = BatchBuilder(backlog, limits)
        self._viewer = Viewer(
            backlog,
            self._streams,
            self._accounts,
            self._flights,
            costs=self.costs,
            limits=limits,
            builds_ahead=builds_ahead,
        )
        self._turn: Plan | None = None
        self._running = set[int]()  # ids, as of the last decision
        self._recent: deque[Recent] = deque(maxlen=32)

    @property
    def free_kv_tokens(self) -> int:
        return self._kv.free_tokens

    @property
    def preempted(self) -> int:
        """How often a job was sent back for want of KV."""
        return self._preemption.count

    @property
    def prefix_tokens(self) -> tuple[int, int]:
        """Tokens of prompts that were looked up so far, and found."""
        return self._kv.queries, self._kv.hits

    @property
    def waiting(self) -> int:
        return len(self._backlog.waiting)

    @property
    def live(self) -> int:
        return len(self._backlog.live)

    @property
    def wait_bound_s(self) -> float | None:
        """No job that is accepted now waits longer for its first token, while KV is
        free for all who wait; else `drain_bound_s` comes on top. None: no bound."""
        return self._outlook.wait_bound_s

    @property
    def gap_bound_s(self) -> float | None:
        """No stream that holds KV waits longer for its next token while its adapter has
        no more jobs than its part of the seats. `Outlook` says what bounds rest on."""
        return self._outlook.gap_bound_s

    @property
    def drain_bound_s(self) -> float:
        """The longest it can take until KV is there for all who wait."""
        return self._outlook.drain_bound_s(self.free_kv_tokens)

    @property
    def queue_s(self) -> float:
        """Until all who wait now should have begun: expected, no bound."""
        return self._outlook.queue_s(self.free_kv_tokens)

    def __repr__(self) -> str:
        kv = f"{self.free_kv_tokens} of {self.kv_tokens} KV tokens free"
        return f"<Scheduler {self.waiting} waiting, {self.live} live, {kv}>"

    @property
    def recent(self) -> list[Recent]:
        """The last decisions, the oldest first."""
        return list(self._recent)

    def submit(self, job: Job) -> None:
        """Take a job. Raises BacklogFull; the job must fit into the KV budget."""
        assert job.most_tokens <= self.kv_tokens, f"job {job.id} can never be admitted"
        if self.waiting >= self.max_waiting:
            raise BacklogFull(self.max_waiting)
        job.kv_tokens = self._preemption.expected_tokens(job)
        self._backlog.push(job)
        self._accounts.join(job)
        self._outlook.note(job)

    def cancel(self, job_id: int) -> None:
        """The client left. One that has ended is passed over."""
        self._leave(job_id, JobEvent.CANCEL)

    def fail(self, job_id: int) -> None:
        """The engine could not serve it. A job that has ended is passed over."""
        self._leave(job_id, JobEvent.FAIL)

    def decide(self, now: float) -> Decision:
        """The next step, or Idle without any job: room for who goes on; whose first
        token is next, whose wait is over, after whom nobody may take KV, whom a mixed
        step would serve - the policy plans, the builder fills the seats."""
        if not self._backlog:
            return Idle()
        self._accounts.refill()
        self._preemption.make_room(self._running)
        if isinstance(self._policy, Bounded):
            self._preemption.admit_overdue(partial(self._waits.is_overdue, now=now))
        free = self.free_kv_tokens
        newcomer = self._waits.newcomer(now, free)
        overdue = self._waits.overdue(now, newcomer, free)
        barred_after = self._waits.barred_after(now, free)
        front = self._builder.front(free, barred_after)
        view = self._viewer.view(
            now,
            front,
            turn=self._turn,
            newcomer=newcomer,
            overdue=overdue,
            barred_after=barred_after,
            free_kv_tokens=free,
        )
        plan = self._policy.choose(view)
        seats = self._builder.seats(plan, overdue, free, barred_after)
        assert seats.jobs, f"{plan} serves nobody: {self!r}"
        self._move(seats)
        if plan.aside is None:
            self._turn = plan
        self._recent.append(Recent.of(plan, len(seats.jobs), now))
        return self._builder.step(plan, seats)

    def advance(self, step: Step) -> list[int]:
        """The step decided last was launched: count on it before it lands, so that the
        next one can be decided, and nobody is taken to end before his `max_tokens`.
        Those who reach them have left; returns their ids. What is launched is reported
        in the same order, unless it failed."""
        ended = [job.id for job in self._flights.launch(step)]
        for job_id in ended:
            self._leave(job_id, JobEvent.FINISH)
        return ended

    def report(self, step: Step, outcome: Outcome, now: float) -> None:
        """Take in what a step did. Jobs that left meanwhile are passed over."""
        ended = self._flights.land(step, outcome, now)
        self._kv.know(step.work, self._flights.in_air_tokens)
        self._preemption.earn(outcome.seconds)
        for job in ended:
            self._leave(job.id, JobEvent.FINISH)

    def shrink(self, step: Step) -> None:
        """There was no memory for this step: from now on one has half of its prompt
        tokens at most, and bounds grow."""
        if step.prefill_tokens:
            self._limits.prefill_tokens = max(1, step.prefill_tokens // 2)

    def forget(self, generation: str) -> None:
        self._kv.forget(generation)

    def built_ahead(self, generation: str, seconds: float) -> None:
        """A slot now holds it; building it between steps took so long."""
        self._flights.warm |= {generation}
        self._accounts.built_ahead(generation, seconds)

    def check(self) -> None:
        """Assert that the books balance. For tests and idle engines."""
        audit(self._backlog)
        self._kv.check(self._backlog.live.values())

    def _move(self, seats: Seats) -> None:
        """Who was seated runs; who ran and was not is parked."""
        for job in seats.admitted:
            self._preemption.admit(job)
        live = self._backlog.live
        for job_id in (self._running - seats.ids) & live.keys():
            if live[job_id].state is JobState.RUNNING:
                live[job_id].move(JobEvent.PARK)
        for job in seats.jobs:
            if job.state is JobState.PARKED:
                job.move(JobEvent.RESUME)
        self._running = seats.ids

    def _leave(self, job_id: int, event: JobEvent) -> None:
        if (job := self._backlog.get(job_id)) is None:
            return
        group = self._backlog.remove(job)
        job.move(event)
        if event is JobEvent.FAIL:
            self._kv.distrust(job)
        self._streams.leave(group)
        if not group.jobs:
            self._accounts.leave(job.generation)
        self._kv.leave(job)
