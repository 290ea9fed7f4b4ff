"""A scheduler that is watched, on an engine or simulated, and what it has seen."""

import statistics
from collections import defaultdict

from benchmarks.baselines import CONTENDERS
from benchmarks.cells import Told, tell
from benchmarks.setups import BATCH
from scheduler import (
    Costs,
    Job,
    Mode,
    Outcome,
    Scheduler,
    SchedulerLimits,
    Step,
    StepShape,
)
from scheduler.simulate import Run

KV_TOKENS, RANK = 8192, 16


class Watched(Scheduler):
    """The scheduler, and what happened, in the simulator's words."""

    def __init__(self, policy: str, costs: Costs) -> None:
        super().__init__(
            CONTENDERS[policy](),
            SchedulerLimits(
                kv_tokens=KV_TOKENS,
                max_batch=BATCH,
                max_waiting=1000,
                prefill_tokens=256,
                patience_s=1.0,
            ),
            costs=costs,
        )
        self.run = Run()
        self.jobs: list[Job] = []
        self.errors: dict[str, list[float]] = defaultdict(list)
        self.outcomes: list[tuple[StepShape, float]] = []
        self.cold_s: list[float] = []

    def submit(self, job: Job) -> None:
        super().submit(job)
        self.jobs.append(job)
        self.run.arrived_at[job.id] = job.arrival

    def report(self, step: Step, outcome: Outcome, now: float) -> None:
        run, mode, swap = self.run, step.plan.mode, outcome.swap
        expected = self.costs.step_s(step.shape)
        self.errors[mode.value].append(abs(expected / outcome.seconds - 1.0))
        self.outcomes.append((step.shape, outcome.seconds))
        run.busy_s += outcome.seconds
        run.tokens[mode] += len(step.work)
        if swap is not None:
            run.swap_s += swap.seconds
        if swap is not None and not swap.warm:
            expected = self.costs.swap_s(warm=False, rank=RANK)
            self.errors["cold swap"].append(abs(expected / swap.seconds - 1.0))
            self.cold_s.append(swap.seconds)
        super().report(step, outcome, now)
        for work in step.work:
            if work.job.generated:
                run.first_token_at.setdefault(work.job.id, now)
        run.finished_at |= dict.fromkeys(outcome.finished, now)

    def built_ahead(self, generation: str, seconds: float) -> None:
        super().built_ahead(generation, seconds)
        self.run.swap_s += seconds
        self.cold_s.append(seconds)

    def told(self) -> Told:
        ends = {job.id: job.max_tokens for job in self.jobs}
        return tell(self.run, self.jobs, ends, self.costs.error or 0.0)


class AtSpeed:
    """Costs, at the speed that the machine had while a run was watched."""

    def __init__(self, costs: Costs, watched: Watched) -> None:
        self._costs = costs
        self._factors = {}
        for mode in Mode:
            seen = [(shape, s) for shape, s in watched.outcomes if shape.mode is mode]
            expected = sum(costs.step_s(shape) for shape, _ in seen)
            self._factors[mode] = sum(s for _, s in seen) / expected if seen else 1.0
        self._cold_s = statistics.fmean(watched.cold_s) if watched.cold_s else None

    def step_s(self, shape: StepShape) -> float:
        return self._factors[shape.mode] * self._costs.step_s(shape)

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        if warm or self._cold_s is None:
            return self._costs.swap_s(warm=warm, rank=rank)
        return self._cold_s
