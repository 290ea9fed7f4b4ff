"""Fleets on the simulator, and what the router costs: `python -m benchmarks.fleet`.

The same scheduler in 2 to 1,000 replicas behind each of four balancers, 100,000
adapters, zipf(1), which stays or drifts (thirty times in a run the hottest falls to the
last place and all others climb by one); Poisson arrivals at a share of what so many
replicas serve that know nothing of each other. Then two replicas against one, 64
adapters; and time and memory of the router. The last line is JSON, for
`benchmarks.fleet_plot`.

Each replica has four slots and room for 200 adapters in memory; another is read from
storage first, in 0.2 s (not measured). Throughput is by replica. Large fleets have
fewer requests for each replica, `FEWER`, so that all takes minutes on two cores: less
of their run is steady.

Hides: the network, the host's time, reads that slow each other down; a fleet has one
router, and it hears reports each half second.
"""

import argparse
import json
import platform
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from statistics import fmean

from benchmarks.balancers import BALANCERS
from benchmarks.cells import Cell, make_trace
from benchmarks.cells import play as play_alone
from benchmarks.fleet_cells import FleetTold, play
from benchmarks.machines import source
from benchmarks.router_cost import router_cost
from benchmarks.setups import CPU, GPU

SIZES = (2, 16, 128, 1000)
LOADS = (0.8, 1.2)
FEWER = {128: 4, 1000: 8}  # requests for each replica
ADAPTERS = 100_000
DRIFTS = 30
SETUPS = {"this": CPU, "h100-8b": GPU}  # by machine
SEATFULS = 10  # requests for each replica, in seats
FULL_SEATFULS = 25  # requests of a server that is full, in seats
Point = tuple[str, int, Cell, float]


def cell_of(name: str, adapters: int, seed: int = 1) -> Cell:
    """Of a server that is full."""
    setup = SETUPS[name]
    return Cell(
        machine=name,
        zipf=1.0,
        stay=0.0,
        adapters=adapters,
        load=f"closed:{setup.busy}",
        requests=FULL_SEATFULS * setup.max_batch,
        seed=seed,
        setup=setup,
    )


@cache
def capacity(cell: Cell) -> float:
    """Requests per second that a server answers mixed, which is the better of the two
    with so many adapters, when there is always enough to do."""
    outputs = [request.output_tokens for request in make_trace(cell, 0.0).requests]
    return play_alone("fcfs-mixed", cell).tokens_per_s / fmean(outputs)


def points(name: str, sizes: Iterable[int]) -> Iterable[Point]:
    """The largest first: two processes are then done at about the same time."""
    cell = cell_of(name, ADAPTERS)
    full, requests = capacity(cell), SEATFULS * cell.setup.max_batch
    for size, load, drifts, balancer in product(
        sorted(sizes, reverse=True), LOADS, (False, True), BALANCERS
    ):
        count = size * (requests // FEWER.get(size, 1))
        drift = count // DRIFTS if drifts else 0
        open_loop = replace(cell, load=str(load), requests=count, drift=drift)
        yield balancer, size, open_loop, load * full * size


def two(name: str, seeds: int, load: str) -> Iterable[Point]:
    """One replica and two, for each balancer and seed, with as much for each to do."""
    for seed, balancer, size in product(range(1, 1 + seeds), BALANCERS, (1, 2)):
        full = cell_of(name, 64, seed)
        busy, is_closed = full.setup.busy, load == "closed"
        cell = replace(
            full,
            load=f"closed:{busy * size}" if is_closed else load,
            requests=10 * busy * size,
        )
        rate = 0.0 if is_closed else float(load) * capacity(full) * size
        yield balancer, size, cell, rate


def played(point: Point) -> FleetTold:
    return play(*point)


def row(told: FleetTold) -> str:
    return (
        f"{told.tokens_per_s:9.2f} {told.ttft_p50:7.3f} {told.ttft_p99:7.3f} "
        f"{told.swaps:6.1f} {told.reads:6.1f} {told.merged_share:7.2f}"
    )


HEAD = "tokens/s of each, p50 and p99 TTFT, swaps and reads by 100 requests, merged"


def fleets(
    found: Iterable[Point], pool: ProcessPoolExecutor
) -> list[dict[str, str | float]]:
    found, rows = list(found), []
    print("replicas, load, popularity, balancer:", HEAD)
    for point, told in zip(found, pool.map(played, found), strict=True):
        balancer, size, cell, _ = point
        popularity = "drifting" if cell.drift else "zipf"
        print(
            f"{size:5} {cell.load:4} {popularity:9}{balancer:19}{row(told)}", flush=True
        )
        rows.append(
            {
                "replicas": size,
                "load": float(cell.load),
                "popularity": popularity,
                "balancer": balancer,
                **asdict(told),
            }
        )
    return rows


def against_one(
    name: str, seeds: int, load: str, pool: ProcessPoolExecutor
) -> Mapping[str, float]:
    """Two replicas by one: throughput, and the 99th percentile of first tokens."""
    found = list(two(name, seeds, load))
    told = list(pool.map(played, found))
    figures = {}
    for balancer in BALANCERS:
        of = {
            size: [
                t
                for (b, n, _, _), t in zip(found, told, strict=True)
                if (b, n) == (balancer, size)
            ]
            for size in (1, 2)
        }
        mean = {n: fmean(t.tokens_per_s for t in all_) for n, all_ in of.items()}
        tail = {n: fmean(t.ttft_p99 for t in all_) for n, all_ in of.items()}
        times, waits = 2 * mean[2] / mean[1], tail[2] / tail[1]
        print(
            f"{name:8} {load:7}{balancer:19} {times:5.3f} times the tokens/s of one, "
            f"p99 TTFT {tail[2]:6.3f} s against {tail[1]:6.3f} s"
        )
        figures[f"{name}, {load}, {balancer}, throughput"] = times
        figures[f"{name}, {load}, {balancer}, ttft p99"] = waits
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    parser.add_argument("--seeds", type=int, default=5, help="of two against one")
    parser.add_argument("--machine", choices=SETUPS, default="this")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=SIZES, help="none: only two against one"
    )
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python", end=" ")
    print(f"{platform.python_version()}; virtual seconds; {source(args.machine)}")
    with ProcessPoolExecutor(2) as pool:
        rows = fleets(points(args.machine, args.sizes), pool)
        figures: dict[str, float] = {}
        for load in ("closed", "0.9"):
            figures |= against_one(args.machine, args.seeds, load, pool)
    figures |= router_cost(adapters=ADAPTERS, replicas=1000)
    for label, figure in figures.items():
        print(f"{label:55}{figure:10.3f}")
    print(json.dumps({"machine": args.machine, "rows": rows, "figures": figures}))


if __name__ == "__main__":
    main()
