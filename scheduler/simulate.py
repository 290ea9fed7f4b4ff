"""The simulator: the real Scheduler on a virtual clock. Trace and costs in, times out.

Deterministic. The cost table is not the `Costs` that the scheduler learns into, so that
a simulation also shows how well it learns.
"""

from collections.abc import Iterable, Mapping

from scheduler.arrivals import Arrivals
from scheduler.decision import Step
from scheduler.job import Job
from scheduler.scheduler import Scheduler
from scheduler.simulated_engine import CostTable, Run, SimulatedEngine

__all__ = ["CostTable", "Run", "simulate"]


def simulate(
    scheduler: Scheduler,
    trace: Iterable[Job],
    table: CostTable,
    *,
    slots: int = 1,
    clients: int | Mapping[str, int] | None = None,
    ends: Mapping[int, int] | None = None,
    ahead: bool = False,
    run: Run | None = None,
) -> Run:
    """Serve every job of `trace` (in arrival order) and return what happened.

    With `clients` jobs arrive as in a closed loop: so many at once, then one as each
    ends; by generation, if it is a mapping. `ends`: tokens after which a job ends by
    itself. `ahead`: a step is decided and launched when the one before it begins, but
    for a swap that is not warm, or to build a slot, that one has landed first.
    """
    run = run or Run()
    jobs = {job.id: job for job in trace}
    arrivals = Arrivals(jobs.values(), clients)
    last = {job.id: job.max_tokens for job in jobs.values()}
    last |= {job_id: min(n, last[job_id]) for job_id, n in (ends or {}).items()}
    ranks = {job.generation: job.rank for job in jobs.values()}
    engine = SimulatedEngine(
        scheduler, table, run, slots, ranks=ranks, last=last, ahead=ahead
    )
    while True:
        for job in arrivals.due(engine.now):
            run.arrived_at[job.id] = job.arrival
            scheduler.submit(job)
        decision = scheduler.decide(engine.now)
        if isinstance(decision, Step):
            finished = engine.step(decision)
        elif not (finished := engine.land()):
            later = arrivals.next_s()
            if later is None:
                run.end = engine.now
                return run
            engine.now = max(engine.now, later)
        for job_id in finished:
            arrivals.ended(jobs[job_id])
