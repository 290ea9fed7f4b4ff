"""The simulator of fleets: one replica is the simulator, and nobody is lost."""

import pytest

from benchmarks.balancers import BALANCERS, Affinity
from benchmarks.cells import Cell, make_jobs, make_trace
from benchmarks.machines import machine
from benchmarks.setups import SLOTS, make_scheduler
from scheduler import Job, Mode, Scheduler, StepShape
from scheduler.fleet import Balancer, Storage, simulate_fleet
from scheduler.routing import ReplicaReport
from scheduler.simulate import Run, simulate
from tests.scheduler.traces import job

TABLE = machine("this")
CELL = Cell(
    machine="this", zipf=1.0, stay=0.0, adapters=16, load="closed:24", requests=150
)


def schedulers(count: int) -> list[Scheduler]:
    return [make_scheduler("affinity", TABLE, 1000) for _ in range(count)]


class Told(Affinity):
    """Who was sent what, and what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []
        self.reports: list[ReplicaReport] = []
        self.answered = 0

    def report(self, report: ReplicaReport) -> None:
        super().report(report)
        self.reports.append(report)

    def sent(self, adapter: str, replica: str, now: float) -> None:
        super().sent(adapter, replica, now)
        self.places.append(replica)

    def finished(self, replica: str, now: float) -> None:
        self.answered += 1


@pytest.mark.parametrize("load", ["closed:24", "0.9"])
def test_a_fleet_of_one_is_the_simulator(load: str) -> None:
    cell = Cell(
        machine="this", zipf=1.0, stay=0.5, adapters=16, load=load, requests=150
    )
    trace = make_trace(cell, 0.7)
    (jobs, ends), (again, _) = make_jobs(cell, trace), make_jobs(cell, trace)
    clients = trace.concurrency

    fleet = simulate_fleet(
        schedulers(1), jobs, TABLE, Affinity(), slots=SLOTS, clients=clients, ends=ends
    )
    alone = simulate(
        *(schedulers(1)[0], again, TABLE),
        slots=SLOTS,
        clients=clients,
        ends=ends,
        run=Run(keeps_steps=False),
    )

    assert fleet.first_token_at == alone.first_token_at
    assert fleet.finished_at == alone.finished_at
    assert (fleet.swaps, fleet.built) == (alone.swaps, alone.built)
    assert fleet.end == alone.end


@pytest.mark.parametrize("balancer", BALANCERS.values(), ids=BALANCERS)
def test_every_job_is_answered_once_whoever_chooses(balancer: type[Balancer]) -> None:
    jobs, ends = make_jobs(CELL, make_trace(CELL, 0.0))

    run = simulate_fleet(
        schedulers(3), jobs, TABLE, balancer(), slots=SLOTS, clients=24, ends=ends
    )

    assert run.finished_at.keys() == {each.id for each in jobs}
    assert all(run.first_token_at[n] <= at for n, at in run.finished_at.items())


def test_the_same_trace_is_served_in_the_same_way() -> None:
    runs = []
    for _ in range(2):
        jobs, ends = make_jobs(CELL, make_trace(CELL, 0.0))
        fleet = schedulers(3)
        runs.append(
            simulate_fleet(fleet, jobs, TABLE, Affinity(), clients=24, ends=ends)
        )

    assert runs[0].finished_at == runs[1].finished_at


def test_replicas_report_what_they_have_while_there_is_something_to_do() -> None:
    told = Told()

    run = simulate_fleet(
        schedulers(2),
        [job(n, "a", tokens=40) for n in range(3)],
        TABLE,
        told,
        report_s=0.5,
    )

    assert told.answered == len(told.places) == 3
    assert len(told.reports) == 2 + 2 * (int(run.end / 0.5) + 1)
    (place,) = set(told.places)
    busy = [r for r in told.reports if r.jobs]
    assert {r.replica for r in busy} == {place}
    assert all(r.warm == {"a"} and r.seats == 16 for r in busy)


def test_an_adapter_that_is_not_in_memory_is_read_first() -> None:
    def jobs() -> list[Job]:
        """Half a minute apart: `a` is asked for again after one or two others."""
        return [job(n, name, arrival=30.0 * n) for n, name in enumerate("abacdea")]

    kept = simulate_fleet(
        *(schedulers(1), jobs(), TABLE, Affinity()), storage=Storage(read_s=9.0, most=2)
    )
    free = simulate_fleet(schedulers(1), jobs(), TABLE, Affinity())

    late = [kept.first_token_at[n] - free.first_token_at[n] for n in range(7)]
    assert [round(each) for each in late] == [9, 9, 0, 9, 9, 9, 9]
    assert kept.reads == 6


def test_an_adapter_that_mixed_steps_have_not_had_is_taken_in_first() -> None:
    one = StepShape(Mode.MIXED, 1, 1, context_tokens=8)

    def first_tokens(take_s: float) -> dict[int, float]:
        """Half a minute apart; the steps of `b` are enough for `a` to leave."""
        jobs = [job(n, m, tokens=10, arrival=30.0 * n) for n, m in enumerate("aaba")]
        mixed = make_scheduler("fcfs-mixed", TABLE, 1000)
        run = simulate_fleet([mixed], jobs, TABLE, Affinity(), take_s=take_s)
        learned = mixed.costs.step_s(one)
        assert learned == pytest.approx(TABLE.step_s(one), rel=0.01), "of its shape"
        return run.first_token_at

    free, taken = first_tokens(0.0), first_tokens(3.0)

    assert [round(taken[n] - free[n]) for n in range(4)] == [3, 0, 3, 3]
