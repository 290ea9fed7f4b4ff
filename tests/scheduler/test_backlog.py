"""Backlog: arrival order, and loads that tell the truth."""

import pytest

from scheduler import Job
from scheduler.backlog import Backlog
from scheduler.job import Event
from tests.scheduler.traces import job


def filled(*jobs: Job) -> Backlog:
    backlog = Backlog()
    for each in jobs:
        backlog.push(each)
    return backlog


def admit(backlog: Backlog, each: Job) -> None:
    each.move(Event.ADMIT)
    backlog.admit(each)
    backlog.renew(each.generation)


def test_an_empty_backlog_has_no_jobs_and_no_loads() -> None:
    backlog = Backlog()

    assert len(backlog) == 0
    assert backlog.oldest_waiting() is None
    assert dict(backlog.loads) == {}
    backlog.check()


def test_order_in_a_generation_is_arrival_order_whoever_is_live() -> None:
    a1, b2, a3, a4 = job(1), job(2, "b"), job(3), job(4)
    backlog = filled(a1, b2, a3, a4)

    admit(backlog, a1)

    assert list(backlog.in_arrival_order("a")) == [a1, a3, a4]
    assert list(backlog.in_arrival_order("b")) == [b2]


def test_order_over_all_generations_is_arrival_order_whoever_was_admitted_first() -> (
    None
):
    a1, b2, c3, a4 = job(1), job(2, "b"), job(3, "c"), job(4)
    backlog = filled(a1, b2, c3, a4)

    admit(backlog, c3)
    admit(backlog, a1)

    assert list(backlog.in_arrival_order()) == [a1, b2, c3, a4]


def test_ties_of_arrival_break_by_submission() -> None:
    jobs = [job(n, "ab"[n % 2], arrival=1.0) for n in range(6)]
    backlog = filled(*jobs)

    admit(backlog, jobs[0])
    admit(backlog, jobs[1])

    assert list(backlog.in_arrival_order()) == jobs


def test_the_oldest_waiting_job_is_not_one_that_is_live() -> None:
    a1, b2 = job(1), job(2, "b")
    backlog = filled(a1, b2)

    admit(backlog, a1)

    assert backlog.oldest_waiting() is b2
    assert (backlog.waiting_count, backlog.live_count, len(backlog)) == (1, 1, 2)


def test_a_load_counts_the_jobs_of_its_generation() -> None:
    a1, b2, a3 = job(1, prompt=10, tokens=5), job(2, "b"), job(3, prompt=20, tokens=5)
    backlog = filled(a1, b2, a3)

    admit(backlog, a1)

    load = backlog.loads["a"]
    assert (load.waiting, load.live, load.jobs) == (1, 1, 2)
    assert load.oldest_arrival == a1.arrival
    assert load.head_kv_tokens == a3.kv_tokens
    assert load.remaining_tokens == 10


def test_a_load_sums_what_its_jobs_may_still_generate_however_they_differ() -> None:
    backlog = filled(job(1, tokens=1), job(2, tokens=100))

    assert backlog.loads["a"].remaining_tokens == 101


def test_a_load_knows_its_least_recently_served_job() -> None:
    a1, a2 = job(1), job(2)
    backlog = filled(a1, a2)
    admit(backlog, a1)
    a1.served_at = 9.0

    backlog.renew("a")

    assert backlog.loads["a"].oldest_served_at == a2.arrival


def test_no_head_asks_for_kv_when_none_waits() -> None:
    a1 = job(1)
    backlog = filled(a1)

    admit(backlog, a1)

    assert backlog.loads["a"].head_kv_tokens == 0


@pytest.mark.parametrize("is_live", [False, True])
def test_a_generation_whose_last_job_leaves_has_no_load(is_live: bool) -> None:
    a1, b2 = job(1), job(2, "b")
    backlog = filled(a1, b2)
    if is_live:
        admit(backlog, a1)

    backlog.remove(a1)

    assert list(backlog.loads) == ["b"]
    assert backlog.get(a1.id) is None
    backlog.check()


def test_a_job_is_found_by_its_id_waiting_or_live() -> None:
    a1, a2 = job(1), job(2)
    backlog = filled(a1, a2)

    admit(backlog, a1)

    assert backlog.get(1) is a1
    assert backlog.get(2) is a2
    assert backlog.get(3) is None


def test_loads_cannot_be_written_by_a_reader() -> None:
    backlog = filled(job(1))

    with pytest.raises(TypeError):
        backlog.loads["a"] = backlog.loads["a"]  # type: ignore[index]


def test_check_sees_a_job_that_is_in_the_wrong_list() -> None:
    a1 = job(1)
    backlog = filled(a1)

    a1.move(Event.ADMIT)

    with pytest.raises(AssertionError, match="is listed as waiting"):
        backlog.check()
