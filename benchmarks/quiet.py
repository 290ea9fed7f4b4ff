"""A quiet adapter beside a flood: 200 clients on one, one streaming client on another.

Both in closed loops, prompts of 40 tokens, answers of 64 and, the quiet one's, of 16.
Who has no first token for the quiet one while the flood lasts has no gaps, either.
"""

from dataclasses import dataclass
from math import inf
from statistics import fmean

from benchmarks.machines import machine
from benchmarks.setups import RANK, SLOTS, make_scheduler
from scheduler import Job
from scheduler.simulate import simulate

FLOOD, QUIET = 200, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Seconds: the quiet adapter's first tokens, and its gaps between two tokens (99th
    percentile, longest, mean); the flood's longest and mean gap, and tokens per second.
    What was never reached while the flood lasted is infinite."""

    ttft_p99: float
    gap_p99: float
    gap_longest: float
    gap_mean: float
    flood_gap_longest: float
    flood_gap_mean: float
    flood_tokens_per_s: float


def beside(policy: str, name: str, *, jobs: int = 800, quiet: int = QUIET) -> Beside:
    """`jobs`: of the flood; the quiet client goes on for as long."""
    table = machine(name)
    scheduler = make_scheduler(policy, table, FLOOD + QUIET)
    made = {
        adapter: [
            Job(
                id=first + n,
                generation=adapter,
                prompt_tokens=40,
                max_tokens=tokens,
                arrival=0.0,
                rank=RANK,
            )
            for n in range(count)
        ]
        for adapter, first, count, tokens in (
            ("flood", 0, jobs, 64),
            ("quiet", jobs, quiet * jobs // 40, 16),
        )
    }
    trace = [*made["flood"], *made["quiet"]]
    run = simulate(
        scheduler,
        trace,
        table,
        slots=SLOTS,
        clients={"flood": FLOOD, "quiet": quiet},
    )
    # While there is a flood: its last batches are none.
    end = sorted(run.finished_at[j.id] for j in made["flood"])[-FLOOD]
    flood = [j for j in made["flood"] if run.first_token_at[j.id] < end]
    mine = [j for j in made["quiet"] if run.finished_at[j.id] < end]
    waits = sorted(run.first_token_at[j.id] - run.arrived_at[j.id] for j in mine)
    waits, gaps = waits or [inf], run.gaps(mine) or [inf]
    tokens = [at for j in flood for at in run.token_at[j.id] if at <= end]
    return Beside(
        ttft_p99=waits[int(0.99 * (len(waits) - 1))],
        gap_p99=gaps[int(0.99 * (len(gaps) - 1))],
        gap_longest=gaps[-1],
        gap_mean=fmean(gaps),
        flood_gap_longest=run.gaps(flood)[-1],
        flood_gap_mean=fmean(run.gaps(flood)),
        flood_tokens_per_s=len(tokens) / end,
    )
