"""Scheduler: owns every job's state, asks the policy, deals out seats, KV and tokens.

    submit -> decide -> (the engine runs the step) -> report -> decide ...

No I/O, no clock, no randomness: `now` is an argument and ties break by arrival, so the
same calls give the same answers. KV is counted in tokens and reserved whole on
admission: whatever was admitted can finish.
"""

from collections.abc import Iterable

from scheduler.backlog import Backlog
from scheduler.costs import Costs
from scheduler.decision import Decision, Idle, Outcome, Step, Work
from scheduler.job import BASE, Event, Job, JobState
from scheduler.policy import Plan, Policy, View


class BacklogFull(Exception):
    """More jobs wait than `max_waiting`: the caller may try again later."""

    def __init__(self, max_waiting: int) -> None:
        super().__init__(f"the queue is full: {max_waiting} jobs wait already")


class Scheduler:
    """One owner, one thread."""

    def __init__(
        self,
        policy: Policy,
        *,
        kv_tokens: int,
        max_batch: int,
        max_waiting: int,
        prefill_tokens: int,
        max_wait_s: float,
        costs: Costs | None = None,
    ) -> None:
        self.costs = costs or Costs()
        self.kv_tokens = kv_tokens
        self.free_kv_tokens = kv_tokens
        self._policy = policy
        self._max_batch = max_batch
        self.max_waiting = max_waiting
        self._prefill_tokens = prefill_tokens
        self._max_wait_s = max_wait_s
        self._backlog = Backlog()
        self._turn: Plan | None = None
        self._warm = frozenset({BASE})

    @property
    def waiting(self) -> int:
        return self._backlog.waiting_count

    @property
    def live(self) -> int:
        return self._backlog.live_count

    def __repr__(self) -> str:
        running = sum(j.state is JobState.RUNNING for j in self._backlog.live())
        return (
            f"<Scheduler {self.waiting} waiting, {running} running, "
            f"{self.live - running} parked, {self.free_kv_tokens} of "
            f"{self.kv_tokens} KV tokens free>"
        )

    def submit(self, job: Job) -> None:
        """Take a job. Raises BacklogFull; the job must fit into the KV budget."""
        assert job.kv_tokens <= self.kv_tokens, f"job {job.id} can never be admitted"
        if self.waiting >= self.max_waiting:
            raise BacklogFull(self.max_waiting)
        self._backlog.push(job)

    def cancel(self, job_id: int) -> None:
        """Forget a job at once, whatever it is doing. Unknown ids are finished ones."""
        self._leave(job_id, Event.CANCEL)

    def fail(self, job_id: int) -> None:
        """As `cancel`, for a job that met an error."""
        self._leave(job_id, Event.FAIL)

    def decide(self, now: float) -> Decision:
        """The next step. Admits, resumes and parks jobs accordingly."""
        if not len(self._backlog):
            return Idle()
        plan = self._policy.choose(self._view(now))
        seated = self._seat(plan, now)
        assert seated, f"{plan} serves nobody: {self!r}"
        self._turn = plan
        return Step(plan=plan, work=self._share(seated))

    def report(self, step: Step, outcome: Outcome, now: float) -> None:
        """Take in what a step did. Jobs that left meanwhile are passed over."""
        self.costs.learn_step(
            step.plan.mode,
            len(step.work),
            len(step.generations - {BASE}),
            step.prefill_tokens,
            outcome.seconds,
        )
        if outcome.swap is not None:
            self.costs.learn_swap(warm=outcome.swap.warm, seconds=outcome.swap.seconds)
        self._warm = outcome.warm | {BASE}
        for work in step.work:
            job = work.job
            if job.state is not JobState.RUNNING:
                continue
            if work.is_prefill:
                job.prefilled += work.tokens
            if not job.is_prefilling:
                job.generated += 1
            job.served_at = now
            if job.id in outcome.finished:
                self._leave(job.id, Event.FINISH)
        for generation in step.generations:
            self._backlog.renew(generation)

    def prepared(self, generation: str, seconds: float) -> None:
        """A slot now holds `generation`; building it between steps took `seconds`."""
        self._warm |= {generation}
        self.costs.learn_swap(warm=False, seconds=seconds)

    def check(self) -> None:
        """Assert that the books balance. For tests and for an idle engine."""
        self._backlog.check()
        held = sum(job.kv_tokens for job in self._backlog.live())
        assert held + self.free_kv_tokens == self.kv_tokens, f"KV leak: {self!r}"

    def _view(self, now: float) -> View:
        return View(
            now=now,
            loads=self._backlog.loads,
            turn=self._turn,
            warm=self._warm,
            free_kv_tokens=self.free_kv_tokens,
            barred_after=self._kv_is_kept_for(now),
            max_batch=self._max_batch,
            max_wait_s=self._max_wait_s,
            costs=self.costs,
        )

    def _seat(self, plan: Plan, now: float) -> list[Job]:
        """Who takes part, oldest first; everybody else who is live is parked."""
        barred_after = self._kv_is_kept_for(now)
        seated: list[Job] = []
        newcomers: list[Job] = []
        free = self.free_kv_tokens
        for job in self._in_seating_order(plan, now):
            if len(seated) == self._max_batch:
                break
            if job.state is JobState.WAITING:
                if job.kv_tokens > free or job.arrival > barred_after:
                    # Nobody younger may take the KV this one waits for, but jobs that
                    # hold theirs already go on.
                    free = -1
                    continue
                free -= job.kv_tokens
                newcomers.append(job)
            seated.append(job)
        self._settle(seated, newcomers)
        return seated

    def _in_seating_order(self, plan: Plan, now: float) -> Iterable[Job]:
        """Arrival order, but who went without service for too long comes first."""
        jobs = self._backlog.in_arrival_order(plan.generation)
        overdue = now - self._max_wait_s / 2
        loads = self._backlog.loads.values()
        if all(load.oldest_served_at >= overdue for load in loads):
            return jobs
        return sorted(jobs, key=lambda job: min(job.served_at, overdue))

    def _kv_is_kept_for(self, now: float) -> float:
        """Arrival of an overdue job that lacks KV; younger ones must not take it."""
        oldest = self._backlog.oldest_waiting()
        if (
            oldest is not None
            and now - oldest.arrival > self._max_wait_s / 2
            and oldest.kv_tokens > self.free_kv_tokens
        ):
            return oldest.arrival
        return float("inf")

    def _settle(self, seated: list[Job], newcomers: list[Job]) -> None:
        for job in newcomers:
            job.move(Event.ADMIT)
            self._backlog.admit(job)
            self.free_kv_tokens -= job.kv_tokens
        chosen = {job.id for job in seated}
        for job in self._backlog.live():
            if job.id in chosen:
                if job.state is JobState.PARKED:
                    job.move(Event.RESUME)
            elif job.state is JobState.RUNNING:
                job.move(Event.PARK)
        for generation in {job.generation for job in newcomers}:
            self._backlog.renew(generation)

    def _share(self, seated: list[Job]) -> tuple[Work, ...]:
        """Deal the step's prefill tokens out, oldest first; decoding takes one each."""
        left = self._prefill_tokens
        work = []
        for job in seated:
            if job.is_prefilling:
                tokens = min(job.prompt_tokens - job.prefilled, left)
                left -= tokens
            else:
                tokens = 1
            if tokens:
                work.append(Work(job, tokens, job.is_prefilling))
        return tuple(work)

    def _leave(self, job_id: int, event: Event) -> None:
        job = self._backlog.get(job_id)
        if job is None:
            return
        holds_kv = job.state is not JobState.WAITING
        job.move(event)
        self._backlog.remove(job)
        if holds_kv:
            self.free_kv_tokens += job.kv_tokens
