"""Backlog: one order everywhere, and loads that tell the truth."""

import pytest

from scheduler import Job, Work
from scheduler.audit import audit
from scheduler.backlog import Backlog
from scheduler.job import JobEvent
from scheduler.lengths import Lengths
from tests.scheduler.traces import job


def filled(*jobs: Job) -> Backlog:
    backlog = Backlog(Lengths())
    for each in jobs:
        backlog.push(each)
    return backlog


def admit(backlog: Backlog, each: Job) -> None:
    each.move(JobEvent.ADMIT)
    backlog.admit(each)
    audit(backlog)


def test_an_empty_backlog_has_no_jobs_and_no_loads() -> None:
    backlog = Backlog(Lengths())

    assert len(backlog) == 0
    assert backlog.oldest_waiting() is None
    assert dict(backlog.groups) == {}
    audit(backlog)


def test_order_in_a_generation_is_arrival_order_whoever_is_live() -> None:
    a1, b2, a3, a4 = job(1), job(2, "b"), job(3), job(4)
    backlog = filled(a1, b2, a3, a4)

    admit(backlog, a1)

    assert list(backlog.groups["a"].in_order()) == [a1, a3, a4]
    assert list(backlog.groups["b"].in_order()) == [b2]


def test_order_over_all_generations_is_arrival_order_whoever_was_admitted_first() -> (
    None
):
    a1, b2, c3, a4 = job(1), job(2, "b"), job(3, "c"), job(4)
    backlog = filled(a1, b2, c3, a4)

    admit(backlog, c3)
    admit(backlog, a1)

    assert list(backlog.mixable()) == [a1, b2, c3, a4]


def test_ties_of_arrival_break_by_submission() -> None:
    jobs = [job(n, "ab"[n % 2], arrival=1.0) for n in range(6)]
    backlog = filled(*jobs)

    admit(backlog, jobs[0])
    admit(backlog, jobs[1])

    assert list(backlog.mixable()) == jobs


def test_the_oldest_waiting_job_is_not_one_that_is_live() -> None:
    a1, b2 = job(1), job(2, "b")
    backlog = filled(a1, b2)

    admit(backlog, a1)

    assert backlog.oldest_waiting() is b2
    assert (len(backlog.waiting), len(backlog.live), len(backlog)) == (1, 1, 2)


def test_a_load_counts_the_jobs_of_its_generation() -> None:
    a1, b2, a3 = job(1, prompt=10, tokens=5), job(2, "b"), job(3, prompt=20, tokens=5)
    backlog = filled(a1, b2, a3)

    admit(backlog, a1)

    load = backlog.groups["a"]
    assert (load.waiting, load.live, load.jobs) == (1, 1, 2)
    assert load.first_order == a1.order
    assert load.head_kv_tokens == a3.kv_tokens
    assert load.remaining_tokens == 10


def test_a_load_sums_what_its_jobs_may_still_generate_however_they_differ() -> None:
    backlog = filled(job(1, tokens=1), job(2, tokens=100))

    assert backlog.groups["a"].remaining_tokens == 101


def test_a_load_follows_what_its_jobs_did() -> None:
    a1, a2 = job(1, prompt=10, tokens=5), job(2, prompt=10, tokens=5)
    backlog = filled(a1, a2)
    admit(backlog, a1)

    backlog.progress([Work(a1, 6, True)])
    assert (backlog.unanswered, backlog.unfilled_tokens) == (2, 14)
    assert backlog.filling() == [a1]

    backlog.progress([Work(a1, 4, True)])
    load = backlog.groups["a"]
    assert (a1.computed, a1.generated) == (10, 1)
    assert (load.unanswered, load.unfilled_tokens) == (1, 10)
    assert (load.context_tokens, load.remaining_tokens) == (10, 9)
    assert backlog.filling() == []
    audit(backlog)


def test_a_lower_priority_value_comes_earlier_and_equals_as_submitted() -> None:
    late, soon, next_ = job(1, priority=5), job(2, "b", priority=-1), job(3, priority=5)
    backlog = filled(late, soon, next_)

    assert list(backlog.mixable()) == [soon, late, next_]
    assert backlog.oldest_waiting() is late, "waits are told by submission"


def test_groups_come_by_size_or_by_the_age_of_their_first_jobs() -> None:
    backlog = filled(job(1, "b"), job(2), job(3, "c"), job(4), job(5, "c"), job(6))
    names = [load.generation for load in backlog.by_size()]
    ages = [load.generation for load in backlog.by_age()]
    assert (names, ages) == (["a", "c", "b"], ["b", "a", "c"])

    for number in (2, 4):
        gone = backlog.get(number)
        assert gone is not None
        backlog.remove(gone)
        audit(backlog)

    assert [load.generation for load in backlog.by_size()] == ["c", "b", "a"]


def test_a_mixed_step_is_offered_only_jobs_that_may_be_mixed() -> None:
    alone, free = job(1, can_mix=False), job(2, "b")
    backlog = filled(alone, free)

    assert list(backlog.mixable()) == [free]
    assert list(backlog.groups["a"].in_order()) == [alone]
    audit(backlog)


def test_the_soonest_deadline_is_of_a_job_that_can_still_keep_it() -> None:
    over, answered, left, soon = (
        job(n, deadline=deadline) for n, deadline in enumerate((1.0, 2.0, 3.0, 4.0))
    )
    backlog = filled(over, answered, left, soon, job(9))
    admit(backlog, answered)
    backlog.progress([Work(answered, answered.prompt_tokens, True)])
    backlog.remove(left)

    assert backlog.soonest_deadline(now=1.5) is soon
    assert backlog.soonest_deadline(now=4.5) is None


def test_no_head_asks_for_kv_when_none_waits() -> None:
    a1 = job(1)
    backlog = filled(a1)

    admit(backlog, a1)

    assert backlog.groups["a"].head_kv_tokens == 0


@pytest.mark.parametrize("is_live", [False, True])
def test_a_generation_whose_last_job_leaves_has_no_load(is_live: bool) -> None:
    a1, b2 = job(1), job(2, "b")
    backlog = filled(a1, b2)
    if is_live:
        admit(backlog, a1)

    backlog.remove(a1)

    assert list(backlog.groups) == ["b"]
    assert backlog.get(a1.id) is None
    audit(backlog)


def test_a_job_is_found_by_its_id_waiting_or_live() -> None:
    a1, a2 = job(1), job(2)
    backlog = filled(a1, a2)

    admit(backlog, a1)

    assert backlog.get(1) is a1
    assert backlog.get(2) is a2
    assert backlog.get(3) is None


def test_check_sees_a_job_that_is_in_the_wrong_list() -> None:
    a1 = job(1)
    backlog = filled(a1)

    a1.move(JobEvent.ADMIT)

    with pytest.raises(AssertionError, match="is listed as waiting"):
        audit(backlog)
