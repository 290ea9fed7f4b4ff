"""Setups: how large the simulated server is, and how long its prompts and answers are.

A GPU's is of an 80 GB card with an 8B model: 250,000 tokens of KV, and the batch that
its graphs are captured for.
"""

from dataclasses import dataclass

from benchmarks.baselines import CONTENDERS
from benchmarks.machines import taught
from benchmarks.traces import Trace
from scheduler import Job, Scheduler, SchedulerLimits
from scheduler.simulate import CostTable

ASKED, BATCH, KV_TOKENS, RANK, SLOTS = 256, 16, 40_000, 16, 4
BLOCK_TOKENS = 16  # as the executors have them


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Limits of a server, in jobs and tokens, and lengths as `traces.length` has them.
    `asked`: tokens that each job may generate; `busy`: clients that leave no seat
    free."""

    max_batch: int
    prefill_tokens: int
    kv_tokens: int
    slots: int
    prompt: str
    output: str
    asked: int
    busy: int


CPU = Setup(
    max_batch=BATCH,
    prefill_tokens=256,
    kv_tokens=KV_TOKENS,
    slots=SLOTS,
    prompt="lognormal:80,0.5,256",
    output="lognormal:48,0.6,256",
    asked=ASKED,
    busy=64,
)
GPU = Setup(
    max_batch=256,
    prefill_tokens=2048,
    kv_tokens=250_000,
    slots=1,
    prompt="lognormal:200,0.7,1024",
    output="lognormal:128,0.6,512",
    asked=512,
    busy=300,
)


def make_scheduler(
    policy: str, table: CostTable, waiting: int, setup: Setup = CPU
) -> Scheduler:
    """Its costs are what a calibration has learned of `table`."""
    return Scheduler(
        CONTENDERS[policy](),
        SchedulerLimits(
            kv_tokens=setup.kv_tokens,
            block_tokens=BLOCK_TOKENS,
            max_batch=setup.max_batch,
            max_waiting=waiting,
            prefill_tokens=setup.prefill_tokens,
            patience_s=1.0,
        ),
        costs=taught(
            table, max_batch=setup.max_batch, prefill_tokens=setup.prefill_tokens
        ),
    )


def jobs_of(trace: Trace) -> list[Job]:
    """Its requests, whose answers end at their `max_tokens`."""
    return [
        Job(
            id=request.id,
            generation=request.adapter or "base",
            prompt_tokens=request.prompt_tokens,
            max_tokens=request.output_tokens,
            arrival=request.at_s,
            rank=RANK,
        )
        for request in trace.requests
    ]
