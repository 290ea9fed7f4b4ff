"""An engine that launches ahead: whatever happens in what order, the books balance."""

from collections import Counter, deque

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
from scheduler import BASE, Idle, Job, Outcome, Scheduler, Step, Swap
from scheduler.job import JobState
from tests.scheduler.traces import Whim, job, scheduler

ENDS = {JobState.DONE, JobState.CANCELLED, JobState.FAILED}
KV_TOKENS, MAX_BATCH, PREFILL_TOKENS, MOST_IN_THE_AIR = 30, 3, 5, 3

which = st.integers(0, 1000)
seconds = st.floats(0, 1, allow_nan=False)


class InTheAir(RuleBasedStateMachine):
    """An engine that keeps accounts of its own: what it has launched for each job, and
    what of that has landed."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler: Scheduler
        self.now = 0.0
        self.jobs: dict[int, Job] = {}
        self.last: dict[int, int] = {}  # tokens after which a job ends
        self.sampled: Counter[int] = Counter()  # and tokens
        self.landed: Counter[int] = Counter()
        self.ended: set[int] = set()  # as far as the engine knows
        self.gone: set[int] = set()  # those of them that were cancelled or have failed
        self.step: Step | None = None  # decided, and not launched yet
        self.air: deque[tuple[Step, Swap | None, dict[int, int]]] = deque()
        self.resident = BASE

    @initialize(policy=st.sampled_from([*CONTENDERS, *range(3)]))
    def start(self, policy: str | int) -> None:
        self.scheduler = scheduler(
            policy if isinstance(policy, str) else Whim(policy),
            kv_tokens=KV_TOKENS,
            max_batch=MAX_BATCH,
            prefill_tokens=PREFILL_TOKENS,
            patience_s=0.25,
            max_mixed_adapters=2,
            checked=False,
        )

    @rule(
        generation=st.sampled_from([BASE, "a", "b", "c"]),
        prompt=st.integers(1, 20),
        tokens=st.integers(1, 10),
        last=st.integers(1, 14),
    )
    def submit(self, generation: str, prompt: int, tokens: int, last: int) -> None:
        """`b` is served merged only, `c` must not be merged."""
        new = job(
            len(self.jobs), generation, prompt=prompt, tokens=tokens, arrival=self.now,
            can_mix=generation != "b", can_merge=generation != "c",
        )  # fmt: skip
        self.scheduler.submit(new)
        self.jobs[new.id] = new
        self.last[new.id] = min(tokens, last)

    @rule(passed=seconds)
    def wait(self, passed: float) -> None:
        self.now += passed

    @precondition(lambda self: self.step is None and len(self.air) < MOST_IN_THE_AIR)
    @rule()
    def decide(self) -> None:
        decision = self.scheduler.decide(self.now)
        if isinstance(decision, Idle):
            assert all(each.state in ENDS for each in self.jobs.values())
            return
        self.step = decision
        for each, tokens, is_prefill in decision.work:
            assert each.state is JobState.RUNNING
            assert each.id not in self.ended
            left = each.unfilled_tokens
            assert is_prefill == (left > 0)
            assert tokens <= max(left, 1)

    @precondition(lambda self: self.step is not None)
    @rule()
    def launch(self) -> None:
        assert self.step is not None
        step, alive = self.step, self._alive(self.step)
        self._begin(step)

        left = self.scheduler.advance(step)

        full = [n for n in alive if self.sampled[n] == self.jobs[n].max_tokens]
        assert left == full
        assert all(self.jobs[n].state is JobState.DONE for n in left)

    @precondition(lambda self: self.air)
    @rule(took=seconds)
    def land(self, took: float) -> None:
        step, swap, numbers = self.air.popleft()
        self._report(step, swap, numbers, took)

    @precondition(lambda self: self.step is not None and not self.air)
    @rule(took=seconds)
    def run_without_launching_ahead(self, took: float) -> None:
        assert self.step is not None
        self._begin(self.step)
        self.land(took)

    @precondition(lambda self: self.air)
    @rule()
    def land_with_a_fault(self) -> None:
        """Its jobs fail, and it is never reported."""
        step, _, _ = self.air.popleft()
        for each, _, _ in step.work:
            self.scheduler.fail(each.id)
            self._go(each.id)

    @precondition(lambda self: not self.air)
    @rule(generation=st.sampled_from("abc"), took=seconds)
    def build_ahead(self, generation: str, took: float) -> None:
        self.scheduler.built_ahead(generation, took)

    @precondition(lambda self: self.jobs)
    @rule(which=which, is_failure=st.booleans())
    def leave(self, which: int, is_failure: bool) -> None:
        gone = self.jobs[which % len(self.jobs)]
        (self.scheduler.fail if is_failure else self.scheduler.cancel)(gone.id)
        assert gone.state in ENDS
        self._go(gone.id)

    @invariant()
    def the_books_balance(self) -> None:
        it, jobs = self.scheduler, self.jobs.values()
        live = [each for each in jobs if each.is_live]
        waiting = [each for each in jobs if not each.is_live and each.state not in ENDS]

        it.check()
        assert (it.waiting, it.live) == (len(waiting), len(live))
        held = sum(len(each.blocks) for each in jobs)
        assert it.free_kv_tokens == KV_TOKENS - held >= 0

    @invariant()
    def what_is_counted_is_what_was_launched(self) -> None:
        for n, each in self.jobs.items():
            if each.state not in ENDS:
                assert each.computed + each.unfilled_tokens <= each.tokens
                assert each.generated == self.sampled[n] < each.max_tokens
            assert self.sampled[n] <= each.max_tokens
            assert self.landed[n] <= self.last[n]

    def teardown(self) -> None:
        """Left alone, everybody gets all his tokens and no more."""
        while self.air or self.step or self.scheduler.waiting + self.scheduler.live:
            if self.step is None:
                self.decide()
            if self.step is not None:
                self.launch()
            if self.air:
                self.land(0.01)
            self.the_books_balance()
        assert self.scheduler.free_kv_tokens == KV_TOKENS
        for n in self.jobs.keys() - self.gone:
            assert self.jobs[n].state is JobState.DONE
            assert self.landed[n] == self.last[n]

    def _go(self, n: int) -> None:
        if n not in self.ended:
            self.gone.add(n)
            self.ended.add(n)

    def _alive(self, step: Step) -> list[int]:
        return [job.id for job, _, _ in step.work if job.state is JobState.RUNNING]

    def _begin(self, step: Step) -> None:
        """Launch it: a row for each job that has not left since it was decided."""
        wanted = step.plan.generation or BASE
        swap = None
        if wanted != self.resident:
            swap = Swap(warm=wanted == BASE, seconds=0.01)
        self.resident, numbers = wanted, {}
        for each, tokens, is_prefill in step.work:
            if each.state in ENDS:
                continue
            n = each.id
            if not is_prefill or tokens == each.unfilled_tokens:
                self.sampled[n] += 1
                numbers[n] = self.sampled[n]
        self.air.append((step, swap, numbers))
        self.step = None

    def _report(
        self, step: Step, swap: Swap | None, numbers: dict[int, int], took: float
    ) -> None:
        self.now += took
        finished = set()
        for n in numbers.keys() - self.ended:
            self.landed[n] += 1
            assert self.landed[n] == numbers[n], "a token for each that was launched"
            if numbers[n] == self.last[n]:
                finished.add(n)
        outcome = Outcome(
            seconds=took,
            swap=swap,
            finished=frozenset(finished),
            warm=frozenset({self.resident}),
        )
        self.scheduler.report(step, outcome, self.now)
        assert all(self.jobs[n].state is JobState.DONE for n in finished)
        self.ended |= finished


InTheAir.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
)
TestInTheAir = InTheAir.TestCase
