"""Step time of golden, merged and mixed decoding: `python -m benchmarks.modes`.

Decode steps over 1 and 16 sequences at a context of about 100 tokens, rank-16 adapters
on all linear modules of SmolLM2-135M in bfloat16. The contenders alternate within one
run and medians are compared, because absolute times move by a third on a shared
machine. Hides: prefill, sampling, HTTP and scheduling.
"""

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

from benchmarks.demo_model import adapters, load_model
from hotswap.adapters.deltas import Generation
from hotswap.model.rows import Row
from hotswap.model.runner import Runner

CONTEXT = 100
ROUNDS = 40


def step_s(runner: Runner, rows: Sequence[Row], *, mixed: bool) -> float:
    start = time.perf_counter()
    runner.run(rows, mixed=mixed)
    return time.perf_counter() - start


def rows_of(sequences: int, own: Sequence[Generation | None]) -> list[Row]:
    return [
        Row(
            job=job,
            tokens=[5],
            position=CONTEXT,
            generation=own[job % len(own)],
            wants_logits=True,
        )
        for job in range(sequences)
    ]


def main() -> None:
    runner = Runner(load_model(), slots=1, kv_tokens=16 * (CONTEXT + 1))
    made = adapters(runner, 16, rank=16)
    results: dict[str, float] = {}
    for sequences in (1, 16):
        for job in range(sequences):
            runner.open(job, CONTEXT + 1)
        fill = [
            Row(
                job=j,
                tokens=[5] * CONTEXT,
                position=0,
                generation=None,
                wants_logits=True,
            )
            for j in range(sequences)
        ]
        runner.run(fill, mixed=False)
        times: defaultdict[str, list[float]] = defaultdict(list)
        mixes = [n for n in (1, 2, 4, 8, 16) if n <= sequences]
        for _ in range(ROUNDS):
            runner.weights.activate(None)
            rows = rows_of(sequences, [None])
            times["golden"].append(step_s(runner, rows, mixed=False))
            for count in mixes:
                rows = rows_of(sequences, made[:count])
                times[f"mixed {count}"].append(step_s(runner, rows, mixed=True))
            runner.weights.activate(made[0])
            rows = rows_of(sequences, made[:1])
            times["merged"].append(step_s(runner, rows, mixed=False))
        for job in range(sequences):
            runner.close(job)
        golden = statistics.median(times["golden"])
        print(
            f"\n| {sequences} sequences | ms | tokens/s | / golden |\n|---|---|---|---|"
        )
        for name in ("golden", "merged", *(f"mixed {n}" for n in mixes)):
            median = statistics.median(times[name])
            ratio = median / golden
            speed = sequences / median
            print(f"| {name} | {median * 1e3:.1f} | {speed:.0f} | {ratio:.2f} |")
            results[f"{name} n{sequences} / golden"] = round(ratio, 3)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
