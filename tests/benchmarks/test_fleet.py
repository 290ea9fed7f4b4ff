"""Fleets: two replicas against one, a hot adapter, and what the router costs."""

from dataclasses import replace
from statistics import fmean

import pytest

from benchmarks.cells import Cell
from benchmarks.fleet_cells import FleetTold, play
from benchmarks.router_cost import router_cost

CELL = Cell(
    machine="this", zipf=1.0, stay=0.0, adapters=64, load="closed:64", requests=400
)
SEEDS = (1, 2, 3)


def told(balancer: str, replicas: int, cell: Cell = CELL) -> list[FleetTold]:
    cell = replace(cell, load=f"closed:{64 * replicas}", requests=400 * replicas)
    return [play(balancer, replicas, replace(cell, seed=seed)) for seed in SEEDS]


def throughput(all_: list[FleetTold]) -> float:
    return fmean(each.tokens_per_s for each in all_)


def tail(all_: list[FleetTold]) -> float:
    return fmean(each.ttft_p99 for each in all_)


@pytest.mark.slow
def test_two_replicas_serve_nearly_twice_as_much_and_no_later() -> None:
    one, two = told("affinity", 1), told("affinity", 2)

    assert 2 * throughput(two) >= 1.9 * throughput(one)
    assert tail(two) <= 1.05 * tail(one)


@pytest.mark.slow
def test_affinity_is_ahead_of_a_name_that_has_one_place() -> None:
    ours, hashed = told("affinity", 4), told("consistent hashing", 4)

    assert throughput(ours) > 1.2 * throughput(hashed)
    assert tail(ours) < 0.5 * tail(hashed)


@pytest.mark.slow
def test_affinity_reads_less_and_serves_more_than_the_least_loaded() -> None:
    many = replace(CELL, adapters=2000)
    ours, least = told("affinity", 4, many), told("least loaded", 4, many)

    assert fmean(t.reads for t in ours) < 0.8 * fmean(t.reads for t in least)
    assert throughput(ours) > throughput(least)


@pytest.mark.alone
@pytest.mark.slow
def test_the_router_costs_microseconds_and_little_memory() -> None:
    """The target is 5 ms a request at the median."""
    cost = router_cost(adapters=100_000, replicas=1000)

    assert cost["router, us a request, median"] < 500
    assert cost["router, us a request, p99"] < 5000
    assert cost["router, MiB with its reports"] < 64
