"""Policies against each other on the simulator: `python -m benchmarks.policies`.

Every policy serves the same traces, cell by cell of a grid: popularity of the adapters
(zipf), how often a request is for what the one before it was for (stay), adapters, and
load (closed loops; Poisson at a share of the capacity, which is what the better of
always mixed and always merged serves). `--full` runs the whole grid, which takes hours
on two cores; without it every second value. The scheduler learns its costs from the
simulator as from an engine; the cost tables are in `benchmarks.machines`.

Told for each cell: tokens per second until nine tenths of the answers have ended
(`best fixed`: the better of fcfs-mixed and fcfs-merged, chosen with hindsight), and the
99th percentile of the time to the first token; means over the seeds. `ceiling`: if
adapters cost nothing, which no policy can beat; an open loop gives no more than
arrives. Also cells where the popularity turns and where the load goes on and off, the
fairness among adapters that all have too much to do, and a quiet adapter beside a flood
(`benchmarks.quiet`; `--quiet` runs this alone).

Hides: noise of a real machine, HTTP, sampling; answers do not depend on policies.
"""

import argparse
import json
import platform
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from statistics import geometric_mean, median

from benchmarks.baselines import CONTENDERS
from benchmarks.cells import (
    Cell,
    Told,
    capacity,
    ceiling,
    fairness,
    play,
)
from benchmarks.quiet import Beside, beside
from benchmarks.speed import speed

MACHINES = ("this", "h100-8b")
FIXED = ("fcfs-mixed", "fcfs-merged", "longest-queue", "slora-peft")
HINDSIGHT = ("fcfs-mixed", "fcfs-merged")
LOADS = ("closed:16", "closed:64", "0.5", "0.9", "1.2")


def grid(*, full: bool, requests: int) -> Iterator[Cell]:
    zipfs = (0.0, 0.5, 1.0, 1.5, 2.0) if full else (0.0, 1.0, 2.0)
    stays = (0.0, 0.5, 0.9) if full else (0.0, 0.9)
    counts = (2, 8, 32, 200) if full else (2, 8, 32)
    for name, zipf, stay, count, load in product(MACHINES, zipfs, stays, counts, LOADS):
        yield Cell(
            machine=name,
            zipf=zipf,
            stay=stay,
            adapters=count,
            load=load,
            requests=requests,
        )


def changing(requests: int) -> Iterator[Cell]:
    """Where the hot adapter changes, and where the load goes on and off."""
    for name, zipf, count in product(MACHINES, (1.0, 2.0), (8, 32)):
        cell = Cell(
            machine=name,
            zipf=zipf,
            stay=0.5,
            adapters=count,
            load="closed:64",
            requests=requests,
        )
        yield replace(cell, drift=requests // 6)
        yield replace(cell, load="0.9", pulse=20.0 if name == "this" else 1.0)


Results = dict[str, Told]  # by policy, of one seed
Found = list[tuple[Cell, list[Results], list[float]]]  # of all seeds, and the ceilings


def serve(cell: Cell) -> tuple[Results, float]:
    rate = 0.0 if cell.is_closed else float(cell.load) * capacity(cell)
    told = {policy: play(policy, cell, rate) for policy in CONTENDERS}
    return told, ceiling(cell, rate)


def best_of(told: Results, policies: Iterable[str]) -> float:
    return max(told[policy].tokens_per_s for policy in policies)


def against(results: list[Results], *others: str) -> float:
    """Of affinity against the best of the others, the mean over the seeds."""
    return geometric_mean(
        told["affinity"].tokens_per_s / best_of(told, others) for told in results
    )


def tail(results: list[Results], other: str) -> float:
    """The same of the 99th percentiles of the time to the first token."""
    return geometric_mean(
        told["affinity"].ttft_p99 / told[other].ttft_p99 for told in results
    )


def row(cell: Cell, results: list[Results]) -> str:
    kind = "drift" if cell.drift else "pulse" if cell.pulse else ""
    figures = " ".join(
        f"{geometric_mean(told[policy].tokens_per_s for told in results):7.0f} "
        f"{geometric_mean(told[policy].ttft_p99 for told in results):6.2f}"
        for policy in CONTENDERS
    )
    return (
        f"{cell.machine:5}{cell.zipf:4}{cell.stay:4}{cell.adapters:4} "
        f"{cell.load:9}{kind:6} {figures} {against(results, *HINDSIGHT):6.3f}"
    )


def is_busy(cell: Cell) -> bool:
    return cell.is_closed or float(cell.load) >= 0.9


def summary(steady: Found, moving: Found) -> dict[str, float]:
    ratios = [against(results, *HINDSIGHT) for _, results, _ in steady]
    each = [against([told], *HINDSIGHT) for _, all_, _ in steady for told in all_]
    calm = [results for cell, results, _ in steady if cell.load in ("0.5", "0.9")]
    tails = [tail(results, "fcfs-mixed") for results in calm]
    mine = [told["affinity"] for _, results, _ in steady for told in results]
    figures = {
        "cells": len(ratios),
        "least against best fixed": min(ratios),
        "least against best fixed, of one seed": min(each),
        "cells below 0.97": sum(ratio < 0.97 for ratio in ratios),
        "mean against best fixed": geometric_mean(ratios),
        "mean against best fixed, changing": geometric_mean(
            against(results, *HINDSIGHT) for _, results, _ in moving
        ),
        "ttft p99 against mixed, median": median(tails),
        "ttft p99 against mixed, most": max(tails),
        "ttft cells above 1.1": sum(ratio > 1.1 for ratio in tails),
        "largest swap share": max(told.swap_share for told in mine),
        "largest error of costs": max(told.error for told in mine),
    }
    return figures | busy_figures([found for found in steady if is_busy(found[0])])


def busy_figures(busy: Found) -> dict[str, float]:
    """Against each policy, and against the best of the fixed ones; by load what there
    is to gain at most."""
    figures = {}
    for policy in list(CONTENDERS)[1:]:
        gains = [against(results, policy) for _, results, _ in busy]
        figures[f"mean against {policy}, busy"] = geometric_mean(gains)
        figures[f"least against {policy}, busy"] = min(gains)
        tails = geometric_mean(tail(results, policy) for _, results, _ in busy)
        figures[f"ttft p99 against {policy}, busy"] = tails
    gains = [against(results, *FIXED) for _, results, _ in busy]
    figures["mean against the best of four, busy"] = geometric_mean(gains)
    for load in LOADS:
        most = [
            top / best_of(told, FIXED)
            for cell, results, tops in busy
            for told, top in zip(results, tops, strict=True)
            if cell.load == load
        ]
        if most:
            figures[f"ceiling against the best of four, {load}"] = geometric_mean(most)
    return figures


def run(cells: list[Cell], seeds: int, pool: ProcessPoolExecutor) -> Found:
    """A chunk has all loads of the same traces, which share their capacity."""
    seeded = [replace(cell, seed=1 + seed) for seed in range(seeds) for cell in cells]
    served = list(pool.map(serve, seeded, chunksize=len(LOADS)))
    found = []
    for number, cell in enumerate(cells):
        results, tops = zip(*served[number :: len(cells)], strict=True)
        print(row(cell, list(results)), flush=True)
        found.append((cell, list(results), list(tops)))
    return found


def quiet_figures(names: Iterable[str], pool: ProcessPoolExecutor) -> dict[str, float]:
    """Prints what each policy does for a quiet adapter beside a flood."""
    heads = [field.replace("_", " ") for field in Beside.__slots__]
    print("a quiet adapter beside a flood, virtual seconds:", *heads, sep=" | ")
    cases = list(product(names, CONTENDERS))
    served = pool.map(beside, *zip(*((p, name) for name, p in cases), strict=True))
    figures = {}
    for (name, policy), told in zip(cases, served, strict=True):
        told_all = [getattr(told, field) for field in Beside.__slots__]
        print(f"{name:5}{policy:14}", *(f"{figure:9.3f}" for figure in told_all))
        if policy == "affinity":
            figures[f"longest gap beside a flood, {name}"] = told.gap_longest
            figures[f"gap p99 beside a flood, {name}"] = told.gap_p99
            figures[f"flood's tokens/s, {name}"] = told.flood_tokens_per_s
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--requests", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--machine", choices=MACHINES, help="of one only")
    parser.add_argument("--quiet", action="store_true", help="the flood alone")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python", end=" ")
    print(f"{platform.python_version()}; virtual seconds, tokens/s and p99 TTFT")
    print("machine zipf stay adapters load:", *CONTENDERS, "| against best fixed")
    names = [args.machine] if args.machine else MACHINES
    with ProcessPoolExecutor() as pool:
        if args.quiet:
            print(json.dumps(quiet_figures(names, pool)))
            return
        steady_cells = list(grid(full=args.full, requests=args.requests))
        moving_cells = list(changing(args.requests))
        steady_cells = [c for c in steady_cells if c.machine in names]
        moving_cells = [c for c in moving_cells if c.machine in names]
        steady = run(steady_cells, args.seeds, pool)
        moving = run(moving_cells, args.seeds, pool)
        figures = summary(steady, moving) | quiet_figures(names, pool)
        for name in MACHINES:
            figures[f"jain, {name}"] = fairness(name)
    figures |= speed()
    for name, figure in figures.items():
        print(f"{name:45}{figure:10.3f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
