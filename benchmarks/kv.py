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

from benchmarks.cells import Cell, Told, played, tell
from benchmarks.setups import CPU

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


def short_of(cell: Cell, kv_tokens: int) -> tuple[Told, float, int]:
    """What was told; how often a job was computed at most; jobs sent back."""
    cell = replace(cell, setup=replace(cell.setup, kv_tokens=kv_tokens))
    it = played("affinity", cell)
    most = max(
        1 + job.recomputed / (job.prompt_tokens + it.ends[job.id] - 1)
        for job in it.jobs
    )
    return tell(it.run, it.jobs, it.ends, 0.0), most, it.scheduler.preempted


def main() -> None:
    found = []
    print("| clients | zipf | adapters | KV | ratio | TTFT p99 s | sent back | most |")
    print("|---|---|---|---|---|---|---|---|")
    for cell in grid():
        clients = int(cell.load.split(":")[1])
        kv = clients * (PROMPT + CPU.asked) // SHARE
        plenty, *_ = short_of(cell, PLENTY)
        short, most, sent_back = short_of(cell, kv)
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
