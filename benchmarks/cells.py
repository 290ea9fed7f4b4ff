"""Cells: one trace through one policy on the simulator, and what is told of the run.

A job asks for more tokens than it gets and ends by itself, as most do, so that no
policy knows how long an answer will be. A `Setup` says how large the server is, and how
long prompts and answers are: a CPU's or a GPU's.
"""

import statistics
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache

from benchmarks.machines import machine
from benchmarks.setups import CPU, KV_TOKENS, RANK, SLOTS, Setup, make_scheduler
from benchmarks.traces import Arrivals, Trace, arrivals, generate, length
from scheduler import Job, Mode, Scheduler, StepShape
from scheduler.simulate import CostTable, Run, simulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the grid. `load`: clients of a closed loop, or a share of capacity
    as Poisson arrivals. `drift`: requests after which another adapter is the hot one.
    `pulse`: seconds of twice the load, then as many of nearly none. `single_mode`: the
    second adapter is served merged only and the third mixed only. `merged_only`: of so
    many adapters the second is served merged only, and so on; 0: none."""

    machine: str
    zipf: float
    stay: float
    adapters: int
    load: str
    requests: int = 300
    seed: int = 1
    drift: int = 0
    pulse: float = 0.0
    single_mode: bool = False
    merged_only: int = 0
    setup: Setup = CPU

    @property
    def is_closed(self) -> bool:
        return self.load.startswith("closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`tokens_per_s`: of all that was made until nine tenths of the answers had ended,
    so that neither who was slow at first gains nor the last few count. Times in s."""

    tokens_per_s: float
    ttft_mean: float
    ttft_p50: float
    ttft_p99: float
    longest_wait: float
    latency: float  # mean, per token of the answer
    swap_share: float  # of the time in steps and swaps
    merged_share: float  # of the rows
    error: float  # of the predictions of step times
    service: dict[str, float] = field(repr=False)  # rows by adapter


def make_trace(cell: Cell, rate: float) -> Trace:
    names = [f"a{n}" for n in range(cell.adapters)]
    if cell.is_closed:
        when: Arrivals = arrivals(cell.load)
    elif cell.pulse:
        when = arrivals(f"onoff:{2 * rate},{0.1 * rate},{cell.pulse},{cell.pulse}")
    else:
        when = arrivals(f"poisson:{rate}")
    return generate(
        cell.seed,
        cell.requests,
        arrivals=when,
        adapters=names,
        zipf=cell.zipf,
        stay=cell.stay,
        prompt=length(cell.setup.prompt),
        output=length(cell.setup.output),
    )


def make_jobs(cell: Cell, trace: Trace) -> tuple[list[Job], dict[int, int]]:
    """The trace's requests as jobs, and how long each answer will be."""
    jobs = []
    for request in trace.requests:
        adapter = int((request.adapter or "a0")[1:])
        if cell.drift:  # the ranking of the adapters turns
            turned = adapter + request.id // cell.drift
            adapter = turned % cell.adapters
        every = cell.merged_only
        is_alone = (cell.single_mode and adapter == 1) or (
            every > 0 and adapter % every == 1
        )
        jobs.append(
            Job(
                id=request.id,
                generation=f"a{adapter}",
                prompt_tokens=request.prompt_tokens,
                max_tokens=cell.setup.asked,
                arrival=request.at_s,
                rank=RANK,
                can_mix=not is_alone,
                can_merge=not (cell.single_mode and adapter == 2),
            )
        )
    return jobs, {r.id: r.output_tokens for r in trace.requests}


class Free:
    """A machine on which adapters cost nothing: mixed steps take as long as merged ones
    and swaps no time. Whatever a policy does, its steps would be no longer here."""

    def __init__(self, table: CostTable) -> None:
        self._table = table

    def step_s(self, shape: StepShape) -> float:
        return self._table.step_s(shape._replace(mode=Mode.MERGED))

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        return 0.0


def ceiling(cell: Cell, rate: float = 0.0) -> float:
    """Tokens per second in order of arrival if adapters were free."""
    return play("fcfs-mixed", cell, rate, Free(machine(cell.machine))).tokens_per_s


@dataclass(frozen=True, slots=True)
class Played:
    """A run of a cell, and what it is told of. `ends`: tokens of each answer."""

    run: Run
    jobs: list[Job]
    ends: dict[int, int]
    scheduler: Scheduler


def played(
    policy: str, cell: Cell, rate: float = 0.0, table: CostTable | None = None
) -> Played:
    """The cell by its own cost table or by `table`."""
    table = table or machine(cell.machine)
    scheduler = make_scheduler(policy, table, cell.requests, cell.setup)
    trace = make_trace(cell, rate)
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
    return Played(run, jobs, ends, scheduler)


def play(
    policy: str, cell: Cell, rate: float = 0.0, table: CostTable | None = None
) -> Told:
    """What the policy makes of the cell."""
    it = played(policy, cell, rate, table)
    return tell(it.run, it.jobs, it.ends, it.scheduler.costs.error or 0.0)


def tell(run: Run, jobs: list[Job], ends: dict[int, int], error: float) -> Told:
    order = sorted(run.finished_at, key=lambda job: run.finished_at[job])
    begin = min(run.arrived_at.values())
    end = run.finished_at[order[-1 - len(order) // 10]]
    made = sum(
        ends[job] * _share(run.first_token_at[job], run.finished_at[job], end)
        for job in order
    )
    waits = sorted(run.first_token_at[j] - run.arrived_at[j] for j in run.arrived_at)
    service: Counter[str] = Counter()
    for job in jobs:
        service[job.generation] += ends[job.id]
    return Told(
        tokens_per_s=made / (end - begin),
        ttft_mean=statistics.fmean(waits),
        ttft_p50=statistics.median(waits),
        ttft_p99=waits[int(0.99 * (len(waits) - 1))],
        longest_wait=waits[-1],
        latency=statistics.fmean(
            (run.finished_at[j] - run.arrived_at[j]) / ends[j] for j in order
        ),
        swap_share=run.swap_s / (run.swap_s + run.busy_s),
        merged_share=run.tokens[Mode.MERGED] / max(sum(run.tokens.values()), 1),
        error=error,
        service=dict(service),
    )


def _share(first: float, last: float, end: float) -> float:
    """Of an answer, what was made by `end`, if its tokens came evenly."""
    if last <= end:
        return 1.0
    return max(end - first, 0.0) / (last - first)


def capacity(cell: Cell) -> float:
    """Requests per second that the better of always mixed and always merged serves
    when there is always enough to do."""
    load = f"closed:{cell.setup.busy}"
    return _capacity(replace(cell, load=load, drift=0, pulse=0.0))


@cache
def _capacity(cell: Cell) -> float:
    best = max(
        play(policy, cell).tokens_per_s for policy in ("fcfs-mixed", "fcfs-merged")
    )
    outputs = [request.output_tokens for request in make_trace(cell, 0.0).requests]
    return best / statistics.fmean(outputs)


def fairness(name: str) -> float:
    """Jain's index of the time that eight adapters had, of which each has more to do
    than a batch holds, though one has four times the others' jobs."""
    table = machine(name)
    setup = replace(CPU, kv_tokens=KV_TOKENS * 8)
    scheduler = make_scheduler("affinity", table, 10_000, setup)
    names = [f"a{n}" for n in (0, 0, 0, *range(8))]
    jobs = [
        Job(
            id=n,
            generation=names[n % len(names)],
            prompt_tokens=40,
            max_tokens=64,
            arrival=0.0,
            rank=RANK,
        )
        for n in range(120 * len(names))
    ]
    run = simulate(scheduler, jobs, table, slots=SLOTS)
    # Two fifths of all rows: until then each has more than a batch left, if all had
    # the same. Rows stand for time, as every adapter's prompts and answers are alike.
    served: Counter[str] = Counter()
    for step in run.steps:
        served.update(work.job.generation for work in step.work)
        if served.total() > 0.4 * len(jobs) * 64:
            break
    shares = [served[f"a{n}"] for n in range(8)]
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
