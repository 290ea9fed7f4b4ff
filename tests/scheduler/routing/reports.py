"""Reports and routers for tests: a cold swap takes a second."""

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


def fleet(count: int, seats: int = 4) -> Router:
    """Replicas r0, r1 and so on, with nothing to do."""
    return router(*(report(f"r{n}", seats=seats) for n in range(count)))
