"""Router: the rule, what it counts on between reports, replicas that come and go."""

from scheduler import BASE
from scheduler.routing import ReplicaReport, Router


def report(
    replica: str,
    *warm: str,
    wait_s: float = 0.0,
    jobs: int = 0,
    seats: int = 4,
    at_s: float = 0.0,
    is_ready: bool = True,
) -> ReplicaReport:
    """A cold swap takes a second, and so does each job beyond the seats."""
    return ReplicaReport(
        replica=replica,
        at_s=at_s,
        warm=frozenset(warm),
        wait_s=wait_s,
        jobs=jobs,
        seats=seats,
        cold_swap_s=1.0,
        is_ready=is_ready,
    )


def router(*reports: ReplicaReport) -> Router:
    made = Router()
    for each in reports:
        made.report(each)
    return made


def test_a_request_goes_where_its_adapter_is_warm() -> None:
    fleet = router(report("r0", "a"), report("r1", "b"), report("r2"))

    assert (fleet.choose("a"), fleet.choose("b")) == ("r0", "r1")


def test_a_wait_up_to_a_swap_is_worth_it_and_a_longer_one_is_not() -> None:
    for wait_s, place in ((1.5, "r0"), (1.6, "r1")):
        fleet = router(
            report("r0", "a", wait_s=wait_s, jobs=9), report("r1", wait_s=0.5, jobs=4)
        )

        assert fleet.choose("a") == place


def test_nobody_at_all_is_an_answer() -> None:
    assert Router().choose("a") is None
    assert router(report("r0", is_ready=False)).choose("a") is None
    assert router(report("r0", "a")).choose("a", without={"r0"}) is None


def test_the_base_and_what_is_only_mixed_go_to_the_shortest_wait() -> None:
    fleet = router(
        report("r0", "a", BASE, wait_s=0.2, jobs=4), report("r1", wait_s=0.1, jobs=4)
    )

    assert fleet.choose(BASE) == "r1"
    assert fleet.choose("a", can_merge=False) == "r1"
    assert fleet.choose("a") == "r0"
