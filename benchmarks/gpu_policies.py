"""Policies on a GPU's costs, on the simulator: `python -m benchmarks.gpu_policies`.

256 seats, 2,048 prompt tokens a step, KV for 250,000 tokens, one slot or two: what a
server takes on an 80 GB card (`setups.GPU`). `affinity` beside the two that a server
could do without: always mixed, always merged. For each cell of popularity (zipf 4: one
adapter has 92 % of the requests), adapters and load (Poisson at a share of capacity, or
clients of a closed loop): tokens per second as a share of the better of the two, chosen
with hindsight, and the 99th percentile of the time to the first token as a share of
always mixed; geometric means over the seeds. Some cells also with an adapter that is
served merged only and one mixed only, or with every fifth one merged only. Always mixed
has to merge these, too: when the oldest job is of one it runs that one alone, and so to
the end of the answers that have begun; nobody else has a token meanwhile.

`noise`: the same percentile of always mixed on a machine a thousandth slower, as a
share of always mixed: what comes of other phases alone. Always merged is played to the
end only where an eighth of the requests shows more than half of always mixed.

Hides: what `benchmarks.policies` hides, and the upload of adapters that a mixed step
needs first. The cost tables may be computed, not measured: the first lines say so.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from statistics import fmean, geometric_mean

from benchmarks.cells import Cell, Told, make_trace, play
from benchmarks.machines import machine, source
from benchmarks.setups import GPU
from scheduler import StepShape
from scheduler.simulate import CostTable

MACHINES = ("h100-1b", "h100-8b")
# Adapters and zipf
POPULAR = ((4, 0.8), (4, 4.0), (32, 0.0), (32, 1.2), (1000, 0.8), (1000, 4.0))
SINGLE = ((4, 0.8), (32, 1.2))  # also with adapters of one mode only
MANY = ((32, 0.8), (1000, 0.8))  # with every fifth one merged only
FIFTH = 5
LOADS = ("0.2", "0.9", "closed:64", "closed:300")
FULL = LOADS[-1]  # what capacity is told by
LEAST, MOST = 0.98, 1.0  # wanted: of the throughput, and of the wait


class Slower:
    """A machine whose steps take a thousandth longer."""

    def __init__(self, table: CostTable) -> None:
        self._table = table

    def step_s(self, shape: StepShape) -> float:
        return 1.001 * self._table.step_s(shape)

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        return self._table.swap_s(warm=warm, rank=rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """`throughput`: of affinity, as a share of the better of the two. `ttft_p99`: of
    affinity, as a share of always mixed; the bare figure in seconds beside it, and the
    same of always mixed with other phases."""

    throughput: float
    ttft_p99: float
    ttft_p99_s: float
    noise: float
    tokens_per_s: float
    merged_share: float


def grid(
    machines: Iterable[str], *, slots: Iterable[int], requests: int
) -> Iterator[Cell]:
    """`requests`: of a cell; four times as many where 300 clients send them."""
    kinds = [(*popular, False, 0) for popular in POPULAR]
    kinds += [(*popular, True, 0) for popular in SINGLE]
    kinds += [(*popular, False, FIFTH) for popular in MANY]
    for name, k, kind, load in product(machines, slots, kinds, LOADS):
        count, zipf, single, every = kind
        yield Cell(
            machine=name,
            zipf=zipf,
            stay=0.0,
            adapters=count,
            load=load,
            requests=requests * (4 if load == FULL else 1),
            single_mode=single,
            merged_only=every,
            setup=replace(GPU, slots=k),
        )


@cache
def baselines(cell: Cell, rate: float) -> dict[str, Told]:
    """Always mixed, and always merged if that comes near it."""
    told = {"fcfs-mixed": play("fcfs-mixed", cell, rate)}
    part = replace(cell, requests=cell.requests // 8)
    if (
        2 * play("fcfs-merged", part, rate).tokens_per_s
        > told["fcfs-mixed"].tokens_per_s
    ):
        told["fcfs-merged"] = play("fcfs-merged", cell, rate)
    return told


def rate_of(cell: Cell) -> float:
    """Requests per second: the cell's share of what the better of the two serves."""
    if cell.is_closed:
        return 0.0
    full = replace(cell, load=FULL, requests=4 * cell.requests)
    best = max(told.tokens_per_s for told in baselines(full, 0.0).values())
    tokens = fmean(request.output_tokens for request in make_trace(full, 0.0).requests)
    return float(cell.load) * best / tokens


def compare(cell: Cell) -> Compared:
    """Of one seed."""
    rate = rate_of(cell)
    told = baselines(cell, rate)
    mixed, ours = told["fcfs-mixed"], play("affinity", cell, rate)
    other = play("fcfs-mixed", cell, rate, Slower(machine(cell.machine)))
    return Compared(
        throughput=ours.tokens_per_s / max(each.tokens_per_s for each in told.values()),
        ttft_p99=ours.ttft_p99 / mixed.ttft_p99,
        ttft_p99_s=ours.ttft_p99,
        noise=other.ttft_p99 / mixed.ttft_p99,
        tokens_per_s=ours.tokens_per_s,
        merged_share=ours.merged_share,
    )


def compared(cell: Cell, seeds: int) -> Compared:
    each = [compare(replace(cell, seed=1 + seed)) for seed in range(seeds)]
    means = {
        name: geometric_mean(max(getattr(one, name), 1e-9) for one in each)
        for name in Compared.__slots__
    }
    means["merged_share"] = fmean(one.merged_share for one in each)
    return Compared(**means)


def row(cell: Cell, found: Compared) -> str:
    popularity = "one hot" if cell.zipf == 4.0 else f"{cell.zipf:g}"
    modes = "two of one mode" if cell.single_mode else "both"
    if cell.merged_only:
        modes = f"1 of {cell.merged_only} merged only"
    return (
        f"| {cell.machine} | {cell.setup.slots} | {cell.adapters} | {popularity} "
        f"| {cell.load} | {modes} | {found.tokens_per_s:.0f} | {found.throughput:.3f} "
        f"| {1e3 * found.ttft_p99_s:.0f} | {found.ttft_p99:.2f} "
        f"| {found.noise:.2f} | {found.merged_share:.2f} |"
    )


def summary(found: Iterable[Compared]) -> dict[str, float]:
    rates, waits, noises = zip(
        *((f.throughput, f.ttft_p99, f.noise) for f in found), strict=True
    )
    return {
        "cells": len(rates),
        "throughput against the better one, least": min(rates),
        "throughput against the better one, mean": geometric_mean(rates),
        f"cells below {LEAST}": sum(rate < LEAST for rate in rates),
        "ttft p99 against mixed, most": max(waits),
        "ttft p99 against mixed, mean": geometric_mean(waits),
        "ttft p99 noise, most": max(noises),
        "ttft p99 noise, mean": geometric_mean(noises),
        f"ttft cells above {MOST:g}": sum(wait > MOST for wait in waits),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_policies")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--machine", choices=MACHINES, help="of one only")
    parser.add_argument("--slots", type=int, choices=(1, 2), help="with so many only")
    args = parser.parse_args()
    names = [args.machine] if args.machine else MACHINES
    slots = [args.slots] if args.slots else (1, 2)
    for name in names:
        print(source(name))
    print("\n| machine | slots | adapters | zipf | load | modes | tokens/s", end=" ")
    print("| / better | TTFT p99, ms | / mixed | noise | merged rows |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    cells = list(grid(names, slots=slots, requests=args.requests))
    found = []
    with ProcessPoolExecutor() as pool:
        work = partial(compared, seeds=args.seeds)
        served = pool.map(work, cells, chunksize=len(LOADS))  # they share a capacity
        for cell, figures in zip(cells, served, strict=True):
            print(row(cell, figures), flush=True)
            found.append(figures)
    print("\n" + json.dumps({k: round(v, 4) for k, v in summary(found).items()}))


if __name__ == "__main__":
    main()
