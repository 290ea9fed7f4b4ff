"""Replicas come, are not ready, refuse and go."""

from scheduler import BASE
from scheduler.routing import Router
from tests.scheduler.routing.reports import fleet, report, router

NAMES = [f"a{n}" for n in range(400)]


def homes(routed: Router) -> dict[str, str | None]:
    return {name: routed.choose(name) for name in NAMES}


def test_nobody_at_all_is_an_answer() -> None:
    assert Router().choose("a") is None
    assert Router().choose(BASE) is None
    assert router(report("r0", is_ready=False)).choose("a") is None
    assert fleet(1).choose("a", without={"r0"}) is None


def test_who_is_not_ready_gets_nothing_and_keeps_its_place() -> None:
    routed = fleet(4)
    before = homes(routed)

    routed.report(report("r1", "a0", at_s=1.0, is_ready=False))
    assert "r1" not in homes(routed).values()
    assert repr(routed) == "<Router 3 of 4 ready, 1 adapters warm>"
    routed.report(report("r1", at_s=2.0))

    assert homes(routed) == before


def test_the_jobs_of_who_is_not_ready_are_no_part_of_all() -> None:
    """As of 9 and 5, or 10 and 5, alone."""
    routed = router(report("r0", "a", jobs=9), report("r1", jobs=5))
    for at_s in (1.0, 2.0):
        routed.report(report("r2", jobs=30, at_s=at_s, is_ready=False))

    assert routed.choose("a") == "r0"
    routed.sent("a", "r0", 3.0)
    assert routed.choose("a") == "r1"


def test_who_has_refused_is_left_out() -> None:
    routed = router(report("r0", "a"), report("r1", "a", jobs=1), report("r2", jobs=1))

    assert routed.choose("a", without={"r0"}) == "r1"
    assert routed.choose(BASE, without={"r0", "r1"}) == "r2"
    assert routed.choose("b", without={"r0", "r2"}) == "r1"


def test_one_that_goes_leaves_its_adapters_to_the_others() -> None:
    routed = router(report("r0", "a"), report("r1"), report("r2"))
    routed.sent("b", "r0", 1.0)

    routed.gone("r0")
    routed.gone("r0")
    routed.sent("a", "r0", 2.0)

    assert {routed.choose("a"), routed.choose("b")} <= {"r1", "r2"}
    assert repr(routed) == "<Router 2 of 2 ready, 0 adapters warm>"


def test_only_what_comes_to_a_new_replica_or_leaves_an_old_one_moves() -> None:
    routed = fleet(9)
    before = homes(routed)

    routed.report(report("new"))
    after = homes(routed)
    moved = {name for name in NAMES if before[name] != after[name]}
    assert {after[name] for name in moved} == {"new"}
    assert 10 < len(moved) < 80  # a tenth of 400, or so

    routed.gone("new")
    assert homes(routed) == before


def test_one_that_comes_back_under_its_name_is_new() -> None:
    routed = router(report("r0", "a", jobs=9, at_s=5.0), report("r1", jobs=1))
    routed.gone("r0")

    routed.report(report("r0", at_s=1.0))  # its clock may have begun anew

    assert routed.choose(BASE) == "r0"
    assert repr(routed) == "<Router 2 of 2 ready, 0 adapters warm>"
