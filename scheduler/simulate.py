"""Run the real Scheduler on a virtual clock: a trace and a cost table in, times out.

Deterministic. The cost table is another `Costs` than the one the scheduler learns
into, so that a simulation also shows how well it learns. Swaps keep the `slots` most
recently used generations warm.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.costs import Costs
from scheduler.decision import Idle, Outcome, Step, Swap
from scheduler.job import BASE, Job
from scheduler.scheduler import Scheduler


@dataclass(slots=True)
class Run:
    """What happened: times in seconds by job id, and every step in order."""

    first_token_at: dict[int, float] = field(default_factory=dict)
    finished_at: dict[int, float] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    swaps: int = 0
    built: int = 0  # slots built beside the steps of another turn
    end: float = 0.0


def simulate(
    scheduler: Scheduler, trace: Iterable[Job], table: Costs, *, slots: int = 1
) -> Run:
    """Serve every job of `trace` (in arrival order) and return what happened."""
    run = Run()
    pending = list(trace)[::-1]
    resident = BASE
    built: dict[str, float] = {}  # seconds spent on slots that are not whole yet
    warm: list[str] = []  # most recently used first
    now = 0.0
    while True:
        while pending and pending[-1].arrival <= now:
            scheduler.submit(pending.pop())
        decision = scheduler.decide(now)
        if isinstance(decision, Idle):
            if not pending:
                run.end = now
                return run
            now = pending[-1].arrival
            continue
        wanted = decision.plan.generation or BASE  # a mixed step runs on golden
        swap = None
        if wanted != resident:
            held = wanted in (BASE, *warm)
            swap = Swap(warm=held, seconds=table.swap_s(warm=held))
            if wanted != BASE:
                warm = [wanted, *(g for g in warm if g != wanted)][:slots]
            resident = wanted
            run.swaps += 1
        seconds = _step_s(decision, table)
        now += seconds + (swap.seconds if swap else 0.0)
        finished = _finish(decision, run, now)
        run.steps.append(decision)
        outcome = Outcome(
            seconds=seconds, swap=swap, finished=finished, warm=frozenset(warm)
        )
        scheduler.report(decision, outcome, now)
        ahead = decision.plan.prepare
        if ahead is not None:
            # A slice as long as the step, as the engine does
            cold = table.swap_s(warm=False)
            slice_s = min(seconds, cold - built.get(ahead, 0.0))
            now += slice_s
            built = {ahead: built.get(ahead, 0.0) + slice_s}
            if built[ahead] >= cold:
                warm = [ahead, *(g for g in warm if g != ahead)][:slots]
                scheduler.prepared(ahead, built.pop(ahead))
                run.built += 1


def _step_s(step: Step, table: Costs) -> float:
    adapters = len(step.generations - {BASE})
    return table.step_s(step.plan.mode, len(step.work), adapters, step.prefill_tokens)


def _finish(step: Step, run: Run, now: float) -> frozenset[int]:
    finished = set()
    for work in step.work:
        job = work.job
        if job.prefilled + work.tokens < job.prompt_tokens:
            continue
        run.first_token_at.setdefault(job.id, now)
        if job.generated + 1 == job.max_tokens:
            finished.add(job.id)
            run.finished_at[job.id] = now
    return frozenset(finished)
