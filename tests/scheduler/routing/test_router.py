"""Router: the rule, and what it counts on between two reports."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler import BASE
from tests.pages import ROOT, blocks
from tests.scheduler.routing.reports import fleet, report, router


def test_a_request_goes_where_its_adapter_is_warm() -> None:
    routed = router(report("r0", "a"), report("r1", "b"), report("r2"))

    assert (routed.choose("a"), routed.choose("b")) == ("r0", "r1")


def test_of_two_where_it_is_warm_the_one_with_fewer_jobs_has_it() -> None:
    routed = router(report("r0", "a", jobs=3), report("r1", "a", jobs=2))

    assert routed.choose("a") == "r1"


@pytest.mark.parametrize(("wait_s", "place"), [(1.5, "r0"), (1.6, "r1")])
def test_a_wait_up_to_a_swap_is_worth_it_and_a_longer_one_is_not(
    wait_s: float, place: str
) -> None:
    routed = router(
        report("r0", "a", wait_s=wait_s, jobs=5), report("r1", wait_s=0.5, jobs=4)
    )

    assert routed.choose("a") == place


def test_who_has_more_than_its_part_of_the_jobs_has_no_more_of_them() -> None:
    """Of 16 jobs, with the next, 1.25 times a half are ten."""
    routed = router(report("r0", "a", jobs=9), report("r1", jobs=5))
    assert routed.choose("a") == "r0"

    routed.sent("a", "r0", 1.0)
    assert routed.choose("a") == "r1"


def test_a_replica_with_few_seats_taken_has_room_however_idle_the_others_are() -> None:
    routed = fleet(8, seats=16)
    places = []
    for n in range(5):
        places.append(replica := routed.choose("a"))
        assert replica is not None
        routed.sent("a", replica, float(n))

    assert len(set(places[:4])) == 1
    assert places[4] != places[3]


def test_requests_that_are_answered_take_no_room() -> None:
    """One after the other, and no report in between."""
    routed = router(report("r0", "a"), report("r1"))
    for n in range(100):
        assert routed.choose("a") == "r0"
        routed.sent("a", "r0", n + 0.1)
        routed.finished("r0", n + 0.2)


def test_what_was_answered_before_a_report_is_counted_once() -> None:
    routed = router(report("r0", "a", jobs=9), report("r1", jobs=5))
    routed.finished("r0", 1.0)
    routed.report(report("r0", "a", jobs=9, at_s=2.0))

    routed.sent("a", "r0", 3.0)

    assert routed.choose("a") == "r1"  # as without the answer


def test_a_larger_replica_has_a_larger_part() -> None:
    """As above, but 1.25 times three quarters of 16 are 15."""
    routed = router(report("r0", "a", jobs=14, seats=12), report("r1", jobs=1))

    assert routed.choose("a") == "r0"


def test_the_base_and_what_is_only_mixed_go_to_the_shortest_queue() -> None:
    routed = router(report("r0", "a", BASE, jobs=2), report("r1", jobs=1))

    assert routed.choose(BASE) == "r1"
    assert routed.choose("a", can_merge=False) == "r1"
    assert routed.choose("a") == "r0"


def test_what_was_sent_counts_until_a_report_knows_of_it() -> None:
    routed = router(report("r0"), report("r1"))

    routed.sent(BASE, "r0", 1.0)
    routed.sent(BASE, "r0", 2.0)
    assert routed.choose(BASE) == "r1"
    routed.report(report("r0", at_s=1.5))
    assert routed.choose(BASE) == "r1"
    routed.report(report("r0", at_s=2.0))
    assert routed.choose(BASE) == "r0"


def test_what_was_sent_is_warm_there_until_a_report_says_otherwise() -> None:
    routed = fleet(8, seats=16)
    home = routed.choose("a")
    (other, *_) = {f"r{n}" for n in range(8)} - {home}

    routed.sent("a", other, 1.0)
    assert routed.choose("a") == other
    routed.report(report(other, "a", at_s=2.0, seats=16))
    assert routed.choose("a") == other
    routed.report(report(other, at_s=3.0, seats=16))
    assert routed.choose("a") == home


def test_a_report_that_comes_late_is_passed_over() -> None:
    routed = router(report("r0", "a", at_s=2.0), report("r1", at_s=2.0))

    routed.report(report("r0", jobs=9, at_s=1.0))

    assert routed.choose("a") == "r0"
    assert routed.choose(BASE) == "r0"


def test_a_question_changes_nothing() -> None:
    routed = router(report("r0", "a", jobs=1), report("r1"))

    assert len({routed.choose("a") for _ in range(20)}) == 1
    assert len({routed.choose("b") for _ in range(20)}) == 1


def test_a_hot_adapter_spreads_over_the_fleet_and_a_rare_one_does_not() -> None:
    """What Ray's multiplexing does not do (its issue 65691): it stays with one."""
    routed, places = fleet(4), Counter[str]()
    rare = set()
    for n in range(64):
        for adapter in ("hot", "rare" if n % 16 == 0 else "hot"):
            replica = routed.choose(adapter)
            assert replica is not None
            routed.sent(adapter, replica, float(n))
            if adapter == "rare":
                rare.add(replica)
            else:
                places[replica] += 1

    assert len(places) == 4
    assert max(places.values()) <= 1.25 * 128 / 4 + 1
    assert len(rare) <= 2


def test_a_silent_replica_does_not_fill_the_memory() -> None:
    routed = fleet(1)

    for n in range(10_000):
        routed.sent(f"a{n}", "r0", float(n))

    assert "4096 adapters warm" in repr(routed)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=120))
def test_no_replica_but_the_shortest_gets_more_than_its_part(
    requests: list[tuple[int, bool]],
) -> None:
    routed, jobs = fleet(5), Counter({f"r{n}": 0 for n in range(5)})
    for number, (adapter, can_merge) in enumerate(requests):
        replica = routed.choose(f"a{adapter}", can_merge=can_merge)
        assert replica is not None
        part = 1.25 * (jobs.total() + 1) / 5
        assert jobs[replica] < part + 1 or jobs[replica] == min(jobs.values())
        if not can_merge:
            assert jobs[replica] == min(jobs.values())
        routed.sent(f"a{adapter}", replica, float(number))
        jobs[replica] += 1


def test_the_example_of_the_page_runs() -> None:
    (shown,) = [
        block.text
        for block in blocks(ROOT / "docs" / "fleet.md")
        if block.language == "python"
    ]
    names: dict[str, object] = {}
    exec(shown, names)

    assert names["replica"] == "a"
