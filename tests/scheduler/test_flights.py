"""A step in the air: its jobs are counted on at the launch, and may turn out ended."""

import json

import pytest

from scheduler import Idle, Outcome, Scheduler, Step
from scheduler.job import JobState
from scheduler.policy import merged
from tests.scheduler.in_the_air import Told, landed, launched
from tests.scheduler.test_same_decisions import RECORDED, first_difference, played
from tests.scheduler.traces import TRACES, decided, ids, job, scheduler


class Advanced(Scheduler):
    """Each step is launched ahead, and lands before the next decision."""

    def report(self, step: Step, outcome: Outcome, now: float) -> None:
        self.advance(step)
        super().report(step, outcome, now)


@pytest.mark.parametrize("policy", ["affinity", "fcfs-merged", "longest-queue"])
def test_a_step_that_lands_before_the_next_decision_changes_none(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = json.loads((RECORDED / f"{policy}.json").read_text())
    monkeypatch.setattr("tests.scheduler.traces.Scheduler", Advanced)

    for trace in TRACES:
        assert first_difference(recorded[trace], played(policy, trace)) is None


def test_prompts_and_tokens_are_counted_at_the_launch() -> None:
    it = scheduler(prefill_tokens=16)
    it.submit(job(1, prompt=20, tokens=5))

    steps = [launched(it) for _ in range(3)]

    assert [step.work[0].tokens for step in steps] == [16, 4, 1]
    assert [step.shape.context_tokens for step in steps] == [0, 16, 20]
    landed(it, steps[0])
    assert decided(it).shape.context_tokens == 21


def test_who_has_all_his_tokens_leaves_at_the_launch_with_his_kv() -> None:
    it = scheduler(kv_tokens=8)
    it.submit(first := job(1, tokens=1))
    it.submit(job(2, tokens=4))
    step = decided(it)

    assert ids(step) == [1]
    assert it.advance(step) == [1]
    assert first.state is JobState.DONE
    assert ids(decided(it)) == [2], "while the first step is in the air"


def test_the_machine_may_be_idle_while_the_last_step_is_in_the_air() -> None:
    it = scheduler()
    it.submit(job(1, tokens=1))
    step = launched(it)

    assert isinstance(it.decide(0.0), Idle)
    landed(it, step, 1)
    assert isinstance(it.decide(0.0), Idle)


def test_who_ends_by_an_end_token_leaves_at_the_landing_though_counted_on() -> None:
    it = scheduler()
    lengths = it._flights._lengths
    it.submit(one := job(1, tokens=9))
    it.submit(job(2, tokens=9))
    first, second = launched(it), launched(it)

    landed(it, first, 1)
    it.check()

    assert one.state is JobState.DONE
    assert it.free_kv_tokens == it.kv_tokens - len(it._backlog.live[2].blocks)
    assert ids(decided(it)) == [2]
    assert lengths._all[0] == 1.0, "one token, not two"
    landed(it, second, 1)
    assert sum(lengths._all) == 1.0, "a length is learned once"


def test_who_ends_while_parked_leaves() -> None:
    policy = Told()
    it = scheduler(policy)
    it.submit(one := job(1, "a", tokens=9))
    it.submit(job(2, "b", tokens=9))
    first = launched(it)
    policy.plan = merged("b", "told to")
    launched(it)
    assert one.state is JobState.PARKED

    landed(it, first, 1)
    it.check()

    assert (one.state, it.live) == (JobState.DONE, 1)


def test_the_length_of_one_who_left_at_a_later_launch_is_what_landed() -> None:
    it = scheduler()
    it.submit(job(1, tokens=2))
    first, second = launched(it), launched(it)

    landed(it, first, 1)
    landed(it, second, 1)

    assert sum(it._flights._lengths._all) == it._flights._lengths._all[0] == 1.0


def test_who_is_cancelled_in_the_air_is_passed_over_and_nothing_is_lost() -> None:
    it = scheduler()
    it.submit(gone := job(1, tokens=3))
    it.submit(job(2, tokens=3))
    first, second = launched(it), launched(it)
    it.cancel(1)
    it.check()

    for step in (first, second):
        landed(it, step, 1)
        it.check()

    assert gone.state is JobState.CANCELLED
    assert it.free_kv_tokens == it.kv_tokens - len(it._backlog.live[2].blocks)
    assert ids(decided(it)) == [2]
