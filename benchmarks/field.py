"""The curves that papers of the field show, simulated: half a minute on one core,

    python -m benchmarks.field > benchmarks/field.json
    python -m benchmarks.field_plots benchmarks/field.json docs

An 8B on an H100 (`h100-8b` of `benchmarks.machines`), 32 adapters.

- `rate`: seconds per token of the answer, waiting included, against requests per second
  at three skews (dLoRA, OSDI 2024, figure 9).
- `skew`: seconds from request to last token, mean and 90th percentile, against the skew
  at 42 requests per second (dLoRA, figure 10).
- `break-even`: steps after which a merged run is ahead of a mixed one of the same jobs,
  as the simulator serves them and as `swap / (mixed step - merged step)` foretells.
- `budget`: tokens per second against the longest wait for a first token as affinity's
  switch budget goes from 1 to 40 %; and what others that mix reach.

Hides what `benchmarks.policies` hides.
"""

import json
from dataclasses import replace
from statistics import fmean

from benchmarks.baselines import CONTENDERS
from benchmarks.cells import Cell, make_jobs, make_trace, tell
from benchmarks.machines import machine, taught
from benchmarks.setups import KV_TOKENS, RANK, SLOTS
from scheduler import Job, Mode, Scheduler, SchedulerLimits, StepShape
from scheduler.policy import Plan, View, merged, mixed
from scheduler.simulate import Run, simulate

SHOWN = ("affinity", "fcfs-mixed", "fcfs-merged", "dlora-credits")
RATES = (15.0, 25.0, 30.0, 35.0, 40.0, 45.0)
SKEWS = (0.0, 0.5, 1.0, 1.5, 2.0)
BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
REQUESTS = 400
CELL = Cell(
    machine="h100-8b", zipf=1.0, stay=0.5, adapters=32, load="open", requests=REQUESTS
)


def played(
    policy: str, cell: Cell, rate: float, budget: float = 0.05
) -> tuple[list[float], list[float], float, float]:
    """Latencies whole and per token, tokens per second, and the longest wait."""
    table = machine(cell.machine)
    scheduler = Scheduler(
        CONTENDERS[policy](),
        SchedulerLimits(
            kv_tokens=KV_TOKENS,
            max_batch=16,
            max_waiting=cell.requests,
            prefill_tokens=256,
            patience_s=1.0,
            switch_budget=budget,
        ),
        costs=taught(table),
    )
    trace = make_trace(cell, rate)
    jobs, ends = make_jobs(cell, trace)
    run = simulate(
        scheduler,
        jobs,
        table,
        slots=SLOTS,
        clients=trace.concurrency,
        ends=ends,
        run=Run(keeps_steps=False),
    )
    whole = {j: end - run.arrived_at[j] for j, end in run.finished_at.items()}
    told = tell(run, jobs, ends, 0.0)
    each = [seconds / ends[j] for j, seconds in whole.items()]
    return sorted(whole.values()), each, told.tokens_per_s, told.longest_wait


def by_rate(zipf: float) -> dict[str, list[float]]:
    cell = replace(CELL, zipf=zipf)
    return {p: [fmean(played(p, cell, rate)[1]) for rate in RATES] for p in SHOWN}


def by_skew() -> dict[str, list[tuple[float, float]]]:
    found = {}
    for policy in SHOWN:
        lines = [played(policy, replace(CELL, zipf=z), 42.0)[0] for z in SKEWS]
        found[policy] = [(fmean(x), x[int(0.9 * (len(x) - 1))]) for x in lines]
    return found


def by_budget() -> dict[str, list[tuple[float, float]]]:
    """(longest wait, tokens per second) of a closed loop of 64 clients."""
    cell = replace(CELL, load="closed:64")
    found = {"affinity": [played("affinity", cell, 0.0, b)[:1:-1] for b in BUDGETS]}
    for policy in ("fcfs-mixed", "dlora-credits"):
        found[policy] = [played(policy, cell, 0.0)[:1:-1]]
    return found


class Always:
    """Merges `a`, or mixes."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    def choose(self, view: View) -> Plan:
        return merged("a", "told to") if self.mode is Mode.MERGED else mixed("told to")


def took(name: str, mode: Mode, jobs: int, rank: int, steps: int) -> float:
    """Seconds until so many jobs of one adapter have decoded so many tokens each."""
    scheduler = Scheduler(
        Always(mode),
        SchedulerLimits(
            kv_tokens=10**6,
            max_batch=16,
            max_waiting=16,
            prefill_tokens=256,
            patience_s=1.0,
        ),
    )
    trace = [
        Job(
            id=n,
            generation="a",
            prompt_tokens=1,
            max_tokens=steps,
            arrival=0.0,
            rank=rank,
        )
        for n in range(jobs)
    ]
    return simulate(scheduler, trace, machine(name)).end


def break_even(name: str) -> list[tuple[float, int]]:
    """(foretold, found) for each rank and number of jobs."""
    table, found = machine(name), []
    for rank in (8, RANK, 64):
        for jobs in (1, 4, 16):
            merge, mix = (
                table.step_s(StepShape(mode, jobs, 1, rank, 0, 0)) for mode in Mode
            )
            if mix <= merge:
                continue
            swap = table.swap_s(warm=False, rank=rank)
            ahead = (
                steps
                for steps in range(1, 400)
                if took(name, Mode.MERGED, jobs, rank, steps)
                <= took(name, Mode.MIXED, jobs, rank, steps)
            )
            at = next(ahead, None)
            if at is not None:
                found.append((swap / (mix - merge), at))
    return found


def main() -> None:
    print(
        json.dumps(
            {
                "rates": RATES,
                "rate": {str(zipf): by_rate(zipf) for zipf in (0.0, 1.0, 2.0)},
                "skews": SKEWS,
                "skew": by_skew(),
                "break-even": {name: break_even(name) for name in ("this", "h100-8b")},
                "budgets": BUDGETS,
                "budget": by_budget(),
            }
        )
    )


if __name__ == "__main__":
    main()
