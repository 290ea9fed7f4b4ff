"""Cells of a fleet: one trace through one balancer on simulated replicas."""

from dataclasses import dataclass

from benchmarks.balancers import BALANCERS
from benchmarks.cells import Cell, make_jobs, make_trace, tell
from benchmarks.machines import machine
from benchmarks.setups import make_scheduler
from scheduler.fleet import Storage, simulate_fleet

# A replica's memory, and what a folder takes to come from shared storage: not measured.
# 84 MB (rank 16 of an 8B, in bfloat16) at 0.4 GB/s.
STORAGE = Storage(read_s=0.2, most=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTold:
    """`ttft_p99`: in a closed loop without those that all came at once. `swaps`: slots
    built, in steps and between them; `reads`: adapters from storage; both by 100
    requests."""

    tokens_per_s: float  # of each replica
    ttft_p50: float
    ttft_p99: float
    swaps: float
    reads: float
    merged_share: float


def play(balancer: str, replicas: int, cell: Cell, rate: float = 0.0) -> FleetTold:
    """`rate`: requests per second of the whole fleet, if the cell is no closed loop."""
    table = machine(cell.machine)
    trace = make_trace(cell, rate)
    jobs, ends = make_jobs(cell, trace)
    run = simulate_fleet(
        [
            make_scheduler("affinity", table, cell.requests, cell.setup)
            for _ in range(replicas)
        ],
        jobs,
        table,
        BALANCERS[balancer](),
        slots=cell.setup.slots,
        clients=trace.concurrency,
        ends=ends,
        storage=STORAGE,
    )
    told = tell(run, jobs, ends, 0.0)
    waits = sorted(
        run.first_token_at[job.id] - run.arrived_at[job.id]
        for job in jobs[trace.concurrency or 0 :]
    )
    return FleetTold(
        tokens_per_s=told.tokens_per_s / replicas,
        ttft_p50=waits[len(waits) // 2],
        ttft_p99=waits[int(0.99 * (len(waits) - 1))],
        swaps=100 * (run.cold + run.built) / len(jobs),
        reads=100 * run.reads / len(jobs),
        merged_share=told.merged_share,
    )
