"""Whatever clients and engine do in whatever order, the books balance."""

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from benchmarks.baselines import CONTENDERS
from scheduler import BASE, BacklogFull, Idle, Job, Mode, Scheduler, Step
from scheduler.job import JobState
from tests.scheduler.traces import Whim, decided, job, outcome, scheduler

ENDS = {JobState.DONE, JobState.CANCELLED, JobState.FAILED}
KV_TOKENS, MAX_BATCH, MAX_WAITING, PREFILL_TOKENS = 30, 3, 8, 5

which = st.integers(0, 1000)
seconds = st.floats(0, 1, allow_nan=False)


class Interleaving(RuleBasedStateMachine):
    """An engine and its clients: a step may be on its way while jobs come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler: Scheduler
        self.jobs: list[Job] = []
        self.now = 0.0
        self.step: Step | None = None

    @initialize(policy=st.sampled_from([*CONTENDERS, *range(3)]))
    def start(self, policy: str | int) -> None:
        self.scheduler = scheduler(
            policy if isinstance(policy, str) else Whim(policy),
            kv_tokens=KV_TOKENS,
            max_batch=MAX_BATCH,
            max_waiting=MAX_WAITING,
            prefill_tokens=PREFILL_TOKENS,
            patience_s=0.25,
            max_mixed_adapters=2,
        )

    @rule(
        generation=st.sampled_from([BASE, "a", "b", "c"]),
        prompt=st.integers(1, 20),
        tokens=st.integers(1, 10),
        priority=st.integers(-1, 1),
        deadline=st.none() | seconds,
    )
    def submit(
        self,
        generation: str,
        prompt: int,
        tokens: int,
        priority: int,
        deadline: float | None,
    ) -> None:
        """`b` is served merged only, `c` must not be merged."""
        new = job(
            len(self.jobs),
            generation,
            prompt=prompt,
            tokens=tokens,
            arrival=self.now,
            can_mix=generation != "b",
            can_merge=generation != "c",
            priority=priority,
            deadline=None if deadline is None else self.now + deadline,
        )
        # Those that were sent back wait, too: there may be more than may come.
        is_full = self.scheduler.waiting >= MAX_WAITING
        try:
            self.scheduler.submit(new)
        except BacklogFull:
            assert is_full
        else:
            assert not is_full
            self.jobs.append(new)

    @rule(passed=seconds)
    def wait(self, passed: float) -> None:
        self.now += passed

    @precondition(lambda self: self.step is None)
    @rule()
    def decide(self) -> None:
        decision = self.scheduler.decide(self.now)

        if isinstance(decision, Idle):
            assert all(each.state in ENDS for each in self.jobs)
        else:
            assert 0 < len(decision.work) <= MAX_BATCH
            assert decision.prefill_tokens <= PREFILL_TOKENS
            assert all(w.job.state is JobState.RUNNING for w in decision.work)
            assert len(decision.rows.keys() - {BASE}) <= 2
            is_mixed = decision.plan.mode is Mode.MIXED
            for work in decision.work:
                assert work.job.can_mix if is_mixed else work.job.can_merge
            self.step = decision

    @precondition(lambda self: self.step is not None)
    @rule(took=seconds)
    def report(self, took: float) -> None:
        assert self.step is not None
        self.now += took
        self.scheduler.report(self.step, outcome(self.step, took), self.now)
        self.step = None

    @precondition(lambda self: self.jobs)
    @rule(which=which, is_failure=st.booleans())
    def leave(self, which: int, is_failure: bool) -> None:
        gone = self.jobs[which % len(self.jobs)]
        was = gone.state

        (self.scheduler.fail if is_failure else self.scheduler.cancel)(gone.id)

        expected = JobState.FAILED if is_failure else JobState.CANCELLED
        assert gone.state is (was if was in ENDS else expected)

    @invariant()
    def the_books_balance(self) -> None:
        unfinished = [each for each in self.jobs if each.state not in ENDS]
        waiting = [each for each in unfinished if not each.is_live]
        live = [each for each in unfinished if each.is_live]
        held = sum(len(each.blocks) for each in unfinished)

        self.scheduler.check()
        assert self.scheduler.waiting == len(waiting)
        assert self.scheduler.live == len(live)
        assert self.scheduler.free_kv_tokens == KV_TOKENS - held >= 0

    @invariant()
    def nobody_is_served_more_than_asked_for(self) -> None:
        for each in self.jobs:
            assert each.computed <= each.tokens
            assert each.generated <= each.max_tokens
            done = each.generated == each.max_tokens
            assert done == (each.state is JobState.DONE)

    def teardown(self) -> None:
        """Left alone, it finishes every job and ends with all its KV."""
        if self.step is not None:
            self.report(took=0.01)
        while self.scheduler.waiting + self.scheduler.live:
            self.step = decided(self.scheduler, self.now)
            self.report(took=0.01)
        assert all(each.state in ENDS for each in self.jobs)
        assert self.scheduler.free_kv_tokens == KV_TOKENS


Interleaving.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
)
TestInterleaving = Interleaving.TestCase
