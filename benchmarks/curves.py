"""Figures for the pictures of the policies, simulated: `python -m benchmarks.curves`.

An 8B on an H100 (`h100-8b` of `benchmarks.machines`), zipf 1, stay 0.5.
Two curves for each policy: tokens per second of a closed loop of 64 clients against the
number of adapters, and the 99th percentile of the time to the first token against
Poisson arrivals, as a share of capacity, with 32 adapters. A last line of JSON is what
`benchmarks.plots` draws. Hides what `benchmarks.policies` hides.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from benchmarks.cells import Cell, Told, capacity, play

SHOWN = ("affinity", "fcfs-mixed", "fcfs-merged", "dlora-credits")
ADAPTERS = (1, 2, 5, 20, 100)
LOADS = (0.3, 0.5, 0.7, 0.9, 1.1)
Point = tuple[str, Cell, float]


def points(requests: int) -> dict[str, list[Point]]:
    """What to play for each curve, in the order of its axis."""
    cell = Cell(
        machine="h100-8b",
        zipf=1.0,
        stay=0.5,
        adapters=32,
        load="closed:64",
        requests=requests,
    )
    full = capacity(cell)
    found: dict[str, list[Point]] = {}
    for policy in SHOWN:
        found[f"adapters, {policy}"] = [
            (policy, replace(cell, adapters=count), 0.0) for count in ADAPTERS
        ]
        found[f"load, {policy}"] = [
            (policy, replace(cell, load=str(load)), load * full) for load in LOADS
        ]
    return found


def serve(point: Point) -> Told:
    return play(*point)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves")
    parser.add_argument("--requests", type=int, default=200)
    found: dict[str, list[float]] = {}
    with ProcessPoolExecutor() as pool:
        for name, line in points(parser.parse_args().requests).items():
            told = list(pool.map(serve, line))
            if name.startswith("adapters"):
                found[name] = [round(each.tokens_per_s, 1) for each in told]
            else:
                found[name] = [round(each.ttft_p99, 4) for each in told]
            print(f"{name:25}", *(f"{value:9.3f}" for value in found[name]), flush=True)
    axes: dict[str, list[float]] = {"adapters": list(ADAPTERS), "load": list(LOADS)}
    print(json.dumps(axes | found))


if __name__ == "__main__":
    main()
