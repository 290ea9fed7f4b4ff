"""Policies against each other on the twin: `python -m benchmarks.policies`.

Every policy serves the same traces, cell by cell of a grid: popularity of the adapters
(zipf), how often a request is for what the one before it was for (stay), adapters, and
load (closed loops; Poisson at a share of the capacity, which is what the better of
always mixed and always merged serves). `--full` runs the whole grid, which takes hours
on two cores; without it every second value. The scheduler learns its costs from the
twin as from an engine; the cost tables are in `benchmarks.machines`.

Told for each cell: tokens per second between a tenth and nine tenths of the answers
(`best fixed`: the better of fcfs-mixed and fcfs-merged, chosen with hindsight), and the
99th percentile of the time to the first token. Also cells where the popularity turns
and where the load goes on and off, adversarial traces against the stated bound, and
the fairness among adapters that all have too much to do.

Hides: noise of a real machine, HTTP, sampling; answers do not depend on policies.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from statistics import geometric_mean, median

from benchmarks.cells import (
    RANK,
    Cell,
    Told,
    capacity,
    fairness,
    make_scheduler,
    play,
)
from benchmarks.machines import machine
from scheduler import POLICIES, Job, Outcome, Step

FIXED = ("fcfs-mixed", "fcfs-merged", "longest-queue", "slora-peft")
LOADS = ("closed:16", "closed:64", "0.5", "0.9", "1.2")


def grid(*, full: bool, requests: int) -> Iterator[Cell]:
    zipfs = (0.0, 0.5, 1.0, 1.5, 2.0) if full else (0.0, 1.0, 2.0)
    stays = (0.0, 0.5, 0.9) if full else (0.0, 0.9)
    counts = (2, 8, 32, 200) if full else (2, 8, 32)
    for name, zipf, stay, count, load in product(
        ("this", "h100"), zipfs, stays, counts, LOADS
    ):
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
    for name, zipf, count in product(("this", "h100"), (1.0, 2.0), (8, 32)):
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


def serve(cell: Cell) -> tuple[Cell, dict[str, Told]]:
    rate = 0.0 if cell.is_closed else float(cell.load) * capacity(cell)
    return cell, {policy: play(policy, cell, rate) for policy in POLICIES}


def best_fixed(told: dict[str, Told]) -> float:
    return max(told["fcfs-mixed"].tokens_per_s, told["fcfs-merged"].tokens_per_s)


def gain(told: dict[str, Told], over: str) -> float:
    return told["affinity"].tokens_per_s / told[over].tokens_per_s


def row(cell: Cell, told: dict[str, Told]) -> str:
    kind = "drift" if cell.drift else "pulse" if cell.pulse else ""
    figures = " ".join(
        f"{told[policy].tokens_per_s:7.0f} {told[policy].ttft_p99:6.2f}"
        for policy in POLICIES
    )
    return (
        f"{cell.machine:5}{cell.zipf:4}{cell.stay:4}{cell.adapters:4} "
        f"{cell.load:9}{kind:6} {figures} "
        f"{told['affinity'].tokens_per_s / best_fixed(told):6.3f}"
    )


Found = list[tuple[Cell, dict[str, Told]]]


def is_busy(cell: Cell) -> bool:
    return cell.is_closed or float(cell.load) >= 0.9


def summary(steady: Found, moving: Found) -> dict[str, float]:
    ratios = [t["affinity"].tokens_per_s / best_fixed(t) for _, t in steady]
    busy = [told for cell, told in steady if is_busy(cell)]
    calm = [told for cell, told in steady if cell.load in ("0.5", "0.9")]
    tails = [t["affinity"].ttft_p99 / t["fcfs-mixed"].ttft_p99 for t in calm]
    told = {
        "cells": len(ratios),
        "least against best fixed": min(ratios),
        "cells below 0.97": sum(ratio < 0.97 for ratio in ratios),
        "mean against best fixed": geometric_mean(ratios),
        "mean against best fixed, changing": geometric_mean(
            t["affinity"].tokens_per_s / best_fixed(t) for _, t in moving
        ),
        "ttft p99 against mixed, median": median(tails),
        "ttft p99 against mixed, most": max(tails),
        "ttft cells above 1.1": sum(tail > 1.1 for tail in tails),
        "largest swap share": max(t["affinity"].swap_share for _, t in steady),
        "largest error of costs": max(t["affinity"].error for _, t in steady),
    }
    for policy in list(POLICIES)[1:]:
        gains = [gain(each, policy) for each in busy]
        told[f"mean against {policy}, busy"] = geometric_mean(gains)
        told[f"least against {policy}, busy"] = min(gains)
    return told


def run(cells: Iterable[Cell], pool: ProcessPoolExecutor) -> Found:
    found = []
    for cell, told in pool.map(serve, cells):
        print(row(cell, told), flush=True)
        found.append((cell, told))
    return found


def speed() -> dict[str, float]:
    """Of the scheduler itself, on this machine: a decision of affinity with 10,000
    jobs of 1,000 adapters waiting, and a request of a long trace on the twin."""
    scheduler = make_scheduler("affinity", machine("h100"), waiting=10_000)
    for number in range(10_000):
        scheduler.submit(
            Job(
                id=number,
                generation=f"a{number * 7919 % 1000}",
                prompt_tokens=80,
                max_tokens=256,
                arrival=number * 1e-4,
                rank=RANK,
            )
        )
    seconds, now = [], 1.0
    for _ in range(500):
        start = time.perf_counter()
        step = scheduler.decide(now)
        seconds.append(time.perf_counter() - start)
        assert isinstance(step, Step)
        now += 0.01
        outcome = Outcome(
            seconds=0.01, swap=None, finished=frozenset(), warm=frozenset()
        )
        scheduler.report(step, outcome, now)
    cell = Cell(
        machine="h100", zipf=1.0, stay=0.0, adapters=1000, load="0.9", requests=5000
    )
    start = time.perf_counter()
    play("affinity", cell, 36.0)
    each = (time.perf_counter() - start) / cell.requests
    return {"decide us": 1e6 * median(seconds), "twin, s per 100,000": 1e5 * each}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--requests", type=int, default=200)
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python", end=" ")
    print(f"{platform.python_version()}; virtual seconds, tokens/s and p99 TTFT")
    print("machine zipf stay adapters load:", *POLICIES, "| against best fixed")
    with ProcessPoolExecutor() as pool:
        steady = run(grid(full=args.full, requests=args.requests), pool)
        moving = run(changing(args.requests), pool)
        figures = summary(steady, moving)
        for name in ("this", "h100"):
            figures[f"jain, {name}"] = fairness(name)
    figures |= speed()
    for name, figure in figures.items():
        print(f"{name:45}{figure:10.3f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
