"""KV: given as it is needed, and given back by everyone who leaves."""

from itertools import pairwise

import pytest

from benchmarks.baselines import CONTENDERS
from scheduler import Idle
from scheduler.job import JobState
from tests.scheduler.traces import (
    Merge,
    Whim,
    advance,
    decided,
    ids,
    job,
    run_dry,
    scheduler,
)


def test_a_job_comes_with_half_of_the_answer_that_is_expected_of_it() -> None:
    it = scheduler(kv_tokens=1000)
    for n in range(40):
        it.submit(job(n, prompt=4, tokens=20))
    run_dry(it)

    it.submit(late := job(99, prompt=4, tokens=100))
    advance(it)

    assert 4 + 8 <= len(late.blocks) <= 4 + 14


def test_a_job_gets_more_as_it_grows_and_has_all_it_may_have_in_the_end() -> None:
    it = scheduler(kv_tokens=200)
    it.submit(one := job(0, prompt=4, tokens=100))
    held = []
    while it.live or it.waiting:
        advance(it)
        held.append(len(one.blocks))

    assert held[0] < 30
    assert all(a <= b for a, b in pairwise(held[:-1]))
    assert max(held) <= 104
    assert one.generated == 100


def test_nobody_overtakes_a_job_that_waits_for_kv() -> None:
    it = scheduler(kv_tokens=20)
    it.submit(job(0, prompt=8, tokens=4))
    it.submit(job(1, prompt=12, tokens=5))
    it.submit(job(2, prompt=1, tokens=1))

    assert ids(decided(it)) == [0]


def test_a_job_that_can_never_fit_is_refused() -> None:
    with pytest.raises(AssertionError, match="job 1 can never be admitted"):
        scheduler(kv_tokens=20).submit(job(1, prompt=20, tokens=1))


def test_a_finished_job_gives_its_seat_and_its_kv_to_the_next() -> None:
    it = scheduler(kv_tokens=5)
    it.submit(job(0, prompt=4, tokens=1))
    it.submit(job(1, prompt=4, tokens=1))

    first, second = advance(it), advance(it)

    assert (ids(first), ids(second)) == ([0], [1])
    assert it.decide(now=0.0) == Idle()
    assert it.free_kv_tokens == 5


@pytest.mark.parametrize("leave", ["cancel", "fail"])
@pytest.mark.parametrize("state", ["waiting", "running", "parked"])
def test_a_job_that_leaves_in_any_state_gives_its_kv_back(
    state: str, leave: str
) -> None:
    policy = Merge("b" if state == "waiting" else "a")
    it = scheduler(policy)
    a = job(0, "a")
    b = job(1, "b")
    it.submit(a)
    it.submit(b)
    advance(it)
    if state == "parked":
        policy.generation = "b"
        advance(it)
    assert a.state.value == state

    getattr(it, leave)(a.id)

    others = len(b.blocks)
    assert a.state.value == {"cancel": "cancelled", "fail": "failed"}[leave]
    assert it.free_kv_tokens == 1000 - others
    it.check()


@pytest.mark.parametrize(("now", "is_served"), [(0.9, True), (1.1, False)])
def test_the_young_take_no_kv_once_an_older_job_is_overdue_for_it(
    now: float, is_served: bool
) -> None:
    """Of `max_wait_s` 2.0, half: `large` arrived at 0.001 and lacks KV since then."""
    policy = Merge("a")
    it = scheduler(policy, kv_tokens=20, patience_s=1.0)
    it.submit(job(0, "a", prompt=4, tokens=6))
    it.submit(job(1, "large", prompt=18, tokens=2))
    advance(it)
    it.submit(job(2, "a", prompt=1, tokens=1))

    step = decided(it, now)

    assert (2 in ids(step)) is is_served
    assert 0 in ids(step)


def test_an_overdue_job_gets_its_kv_however_many_younger_ones_come() -> None:
    """Without help, a job of `a` would be live at all times."""
    it = scheduler("fcfs-merged", kv_tokens=20, max_batch=2, patience_s=0.1)
    large = job(1, "large", prompt=10, tokens=10, arrival=0.0)
    it.submit(job(0, "a", prompt=1, tokens=3, arrival=0.0))
    it.submit(large)

    for n in range(2, 100):
        it.submit(job(n, "a", prompt=1, tokens=3, arrival=n / 100))
        advance(it, now=n / 100)

    assert large.generated > 0


@pytest.mark.parametrize("seed", range(8))
def test_a_runnable_generation_has_a_job_that_may_be_seated(seed: int) -> None:
    """`large` is overdue for KV, so the younger `b` is not runnable."""
    it = scheduler(Whim(seed), kv_tokens=20, patience_s=0.5)
    it.submit(job(0, "a", prompt=1, tokens=9))
    advance(it)
    it.submit(job(1, "large", prompt=19, tokens=1))
    it.submit(job(2, "b", prompt=1, tokens=1))

    step = decided(it, now=5.0)

    assert ids(step) == [0]


def test_whatever_was_admitted_can_finish() -> None:
    it = scheduler(kv_tokens=30, max_batch=3)
    jobs = [job(n, "abc"[n % 3], prompt=3 + n % 5, tokens=1 + n) for n in range(12)]
    for each in jobs:
        it.submit(each)

    run_dry(it)

    assert {each.state for each in jobs} == {JobState.DONE}
    assert all(each.generated == each.max_tokens for each in jobs)


@pytest.mark.parametrize("policy", CONTENDERS)
def test_one_who_may_not_pass_another_in_want_of_kv_ends_no_policy(policy: str) -> None:
    it = scheduler(policy, kv_tokens=60)
    jobs = [
        job(0, "merged", prompt=10, tokens=20, can_mix=False),
        job(1, "any", prompt=40, tokens=10, priority=-1),  # no KV is left for it
        job(2, "mixed", prompt=4, tokens=4, priority=-1, can_merge=False),
    ]
    it.submit(jobs[0])
    advance(it)
    for each in jobs[1:]:
        it.submit(each)

    run_dry(it)

    assert {each.state for each in jobs} == {JobState.DONE}
