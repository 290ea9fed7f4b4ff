"""KV that is short, on the simulator: `python -m benchmarks.kv`.

Cells of the grid of `benchmarks.policies`, with KV for all that may be asked for and
for a fifth of what the clients' largest requests would take together. Told for each
cell: tokens per second of the second against the first, the 99th percentiles of the
time to the first token, how often a job was sent back, and how often the tokens of one
job were computed at most, against once.

Hides: that a real prefix cache finds again some of what was sent back.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from benchmarks.cells import Cell, Told, make_jobs, make_trace, tell
from benchmarks.machines import machine
from benchmarks.setups import CPU, make_scheduler
from scheduler.simulate import Run, simulate

PROMPT = 256  # the largest
SHARE = 5
PLENTY = 10**6


def grid() -> Iterator[Cell]:
    for load, zipf, adapters in product((16, 64), (0.0, 1.0, 2.0), (2, 8, 32)):
        yield Cell(
            machine="this",
            zipf=zipf,
            stay=0.0,
            adapters=adapters,
            load=f"closed:{load}",
            requests=300,
        )


def played(policy: str, cell: Cell, kv_tokens: int) -> tuple[Told, float, int]:
    """What was told; how often a job was computed at most; jobs sent back."""
    cell = replace(cell, setup=replace(cell.setup, kv_tokens=kv_tokens))
    table = machine(cell.machine)
    scheduler = make_scheduler(policy, table, cell.requests, cell.setup)
    trace = make_trace(cell, 0.0)
    jobs, ends = make_jobs(cell, trace)
    run = simulate(
        scheduler,
        jobs,
        table,
        slots=cell.setup.slots,
        clients=trace.concurrency,
        ends=ends,
        run=Run(keeps_steps=False),
    )
    needed = {job.id: job.prompt_tokens + ends[job.id] - 1 for job in jobs}
    most = max(run.computed[job_id] / tokens for job_id, tokens in needed.items())
    return tell(run, jobs, ends, 0.0), most, scheduler.preempted


def main() -> None:
    found = []
    print("| clients | zipf | adapters | KV | ratio | TTFT p99 s | sent back | most |")
    print("|---|---|---|---|---|---|---|---|")
    for cell in grid():
        clients = int(cell.load.split(":")[1])
        kv = clients * (PROMPT + CPU.asked) // SHARE
        plenty, *_ = played("affinity", cell, PLENTY)
        short, most, sent_back = played("affinity", cell, kv)
        ratio = short.tokens_per_s / plenty.tokens_per_s
        waits = f"{plenty.ttft_p99:.1f} -> {short.ttft_p99:.1f}"
        print(
            f"| {clients} | {cell.zipf} | {cell.adapters} | {kv} | {ratio:.3f} | "
            f"{waits} | {sent_back} | {most:.2f} |",
            flush=True,
        )
        found.append({"clients": clients, "ratio": ratio, "most": most})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
