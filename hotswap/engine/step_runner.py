"""StepRunner: one step of the machine, from the swap it needs to the clients' pieces.

    swap -> run -> report -> put into the outbox, and afterwards: build ahead

A step that fails ends here: its jobs are told, and the loop goes on.
"""

import logging
import time
from collections.abc import Callable

from hotswap.engine.batch import Batch
from hotswap.engine.executor import Executor
from hotswap.engine.failures import Failures
from hotswap.engine.outbox import Outbox
from hotswap.engine.status import Counters
from hotswap.engine.ticket import Piece
from hotswap.error_boundary import error_boundary
from hotswap.errors import HotswapError, MergeFailed, StepFailed
from scheduler import Mode, Outcome, Scheduler, Step

log = logging.getLogger(__name__)


class StepRunner:
    """Owned by the engine thread."""

    def __init__(
        self,
        executor: Executor,
        batch: Batch,
        scheduler: Scheduler,
        outbox: Outbox,
        *,
        counters: Counters,
        failures: Failures,
        clock: Callable[[], float],
    ) -> None:
        self._executor = executor
        self._batch = batch
        self._scheduler = scheduler
        self._outbox = outbox
        self._counters = counters
        self._failures = failures
        self._clock = clock

    def run(self, step: Step) -> float:
        """Make resident what the step runs on, run it and report; the seconds it ran.

        0.0 if it failed, and its jobs with it.
        """
        sequences = [self._batch[work.job.id] for work in step.work]
        is_mixed = step.plan.mode is Mode.MIXED
        wanted = None if is_mixed else sequences[0].generation
        weights = self._executor.weights
        try:
            swap = weights.activate(wanted)
        except MergeFailed as error:
            self._failures.fail_swap(wanted, sequences, error)
            return 0.0
        start = time.perf_counter()
        try:
            with error_boundary(_step_failed):
                pieces, failed = self._batch.run(step)
        except HotswapError as error:
            self._failures.fail_step(sequences, error)
            return 0.0
        outcome = Outcome(
            seconds=time.perf_counter() - start,
            swap=swap,
            finished=frozenset(job for job, piece in pieces.items() if piece.finish),
            warm=weights.warm,
        )
        self._report(step, outcome, pieces)
        for sequence, failure in failed:
            self._failures.fail([sequence], failure)
        return outcome.seconds

    def build_ahead(self, key: str | None, budget_s: float) -> None:
        """Go on with the slot that the plan asked for, if any, for about as long as the
        step before it took: no stream waits longer for it."""
        generation = None if key is None else self._batch.generation(key)
        if generation is None:
            return
        try:
            seconds = self._executor.weights.build_ahead(generation, budget_s)
        except MergeFailed as error:
            self._failures.fail_generation(generation, error)
            return
        if seconds is not None:
            self._scheduler.built_ahead(generation.key, seconds)
            self._counters.built_ahead += 1
            self._counters.swap_seconds += seconds

    def _report(self, step: Step, outcome: Outcome, pieces: dict[int, Piece]) -> None:
        """Tell the scheduler, the counters and the clients what the step did."""
        self._scheduler.report(step, outcome, self._clock())
        self._counters.count(step, outcome, sampled=len(pieces))
        if outcome.swap is not None:
            resident, why = self._executor.weights.resident, step.plan.why
            log.info("swap resident=%s %s why=%r", resident, outcome.swap, why)
        for job, piece in pieces.items():
            self._outbox.put(self._batch[job].ticket, piece)
            if piece.finish is not None:
                self._batch.leave(job)


def _step_failed(text: str) -> StepFailed:
    return StepFailed(f"the model failed on this step: {text}")
