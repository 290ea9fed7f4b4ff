"""StepRunner: steps of the machine, from the swap one needs to the clients' pieces.

    swap -> launch -> land -> report -> put into the outbox; afterwards: build ahead

Where the executor launches ahead, a step is launched before the one before it lands:
the machine computes while the engine reads, decides and tells. At most two are in the
air. A step that fails ends here: its jobs are told, and the loop goes on.
"""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from hotswap.engine.batch import Batch, Launched
from hotswap.engine.failures import Failures
from hotswap.engine.latencies import Latencies
from hotswap.engine.outbox import Outbox
from hotswap.engine.sequence import Sequence
from hotswap.engine.status import Counters
from hotswap.engine.ticket import Piece
from hotswap.engine.turns import Turns
from hotswap.error_boundary import error_boundary
from hotswap.errors import DeviceFull, DeviceLost, HotswapError, MergeFailed, StepFailed
from hotswap.model.executor import Executor
from scheduler import BASE, Mode, Outcome, Scheduler, Step, Swap

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _InAir:
    launched: Launched
    sequences: list[Sequence]  # that take part; some may leave meanwhile
    launched_at: float
    swap: Swap | None  # that it needed
    restacked: bool  # see `Outcome`


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
        latencies: Latencies,
        turns: Turns,
        failures: Failures,
        clock: Callable[[], float],
    ) -> None:
        self._executor = executor
        self._batch = batch
        self._scheduler = scheduler
        self._outbox = outbox
        self._counters = counters
        self._latencies = latencies
        self._turns = turns
        self._failures = failures
        self._clock = clock
        self._in_air: deque[_InAir] = deque()  # in the order of their launches
        self._landed_at = float("-inf")  # the last of them

    @property
    def is_in_air(self) -> bool:
        """Whether a step has been launched and has not landed."""
        return bool(self._in_air)

    def run(self, step: Step) -> float:
        """Make resident what the step runs on and launch it; land what is not to stay
        in the air: every step before it, and the step itself unless the next one may
        be launched ahead of its end. The seconds of the last that landed.

        0.0 if it failed at its launch, and its jobs with it, or if it has to be decided
        anew: it had to wait for the last landing, with which one of its jobs ended.
        """
        if self._in_air and not (self._is_warm(step) and self._batch.knows(step)):
            self.land_all()
            if any(work.job.id not in self._batch for work in step.work):
                return 0.0
        if not self._launch(step):
            return 0.0
        most = 0  # that may stay in the air
        if (
            self._executor.launches_ahead
            and step.plan.build_ahead is None
            and not self._follows_grammar(self._in_air[-1].launched)
        ):
            most = 1
            for job in self._scheduler.advance(step):
                self._batch.close(job)
        seconds = 0.0
        while len(self._in_air) > most:
            seconds = self._land()
        return seconds

    def _follows_grammar(self, launched: Launched) -> bool:
        """Whether a token of it decides what the next one of its job may be."""
        return any(self._batch[job].params.grammar for job in launched.jobs)

    def _is_warm(self, step: Step) -> bool:
        """Whether what it runs on can be made resident without building it."""
        weights, wanted = self._executor.weights, step.plan.generation or BASE
        return wanted == weights.resident or wanted in weights.warm

    def _launch(self, step: Step) -> bool:
        """Whether it is in the air. If not its jobs have failed, after those steps have
        landed that were launched before."""
        sequences = [self._batch[work.job.id] for work in step.work]
        is_mixed = step.plan.mode is Mode.MIXED
        wanted = None if is_mixed else sequences[0].generation
        weights = self._executor.weights
        try:
            swap = weights.activate(wanted)
        except MergeFailed as error:
            self.land_all()
            self._failures.fail_swap(wanted, sequences, error)
            return False
        if swap is not None:
            log.info(
                "swap resident=%s %s why=%r", weights.resident, swap, step.plan.why
            )
        stacked = self._executor.stacked if is_mixed else None
        launched_at = self._clock()
        for sequence in sequences:
            sequence.times.begin(launched_at)
        try:
            with error_boundary(_step_failed):
                launched = self._batch.launch(step)
        except HotswapError as error:
            self.land_all()
            self._fail(step, sequences, error)
            return False
        restacked = is_mixed and self._executor.stacked != stacked
        made = _InAir(launched, sequences, launched_at, swap, restacked)
        self._in_air.append(made)
        return True

    def land_all(self) -> None:
        """Leave nothing in the air."""
        while self._in_air:
            self._land()

    def drop_all(self) -> None:
        """Leave nothing in the air, and take no sample of it: a bug has struck."""
        while self._in_air:
            flight = self._in_air.popleft().launched.flight
            with suppress(HotswapError), error_boundary(_step_failed):
                self._executor.land(flight)

    def _land(self) -> float:
        """Wait for the step that was launched first, and report it; its seconds, in
        which the machine had nothing else to do. 0.0 if it failed with its jobs."""
        in_air = self._in_air.popleft()
        launched, step = in_air.launched, in_air.launched.step
        try:
            with error_boundary(_step_failed):
                pieces, failed = self._batch.land(launched)
        except HotswapError as error:
            self._fail(step, in_air.sequences, error)
            return 0.0
        finally:
            before, self._landed_at = self._landed_at, self._clock()
        outcome = Outcome(
            seconds=self._landed_at - max(in_air.launched_at, before),
            swap=in_air.swap,
            finished=frozenset(job for job, piece in pieces.items() if piece.finish),
            warm=self._executor.weights.warm,
            restacked=in_air.restacked,
        )
        self._report(in_air, outcome, pieces)
        for sequence, failure in failed:
            self._failures.fail([sequence], failure)
        return outcome.seconds

    def _fail(self, step: Step, sequences: list[Sequence], error: HotswapError) -> None:
        if isinstance(error, DeviceLost):
            raise error
        self._failures.fail_step(sequences, error)
        if isinstance(error, DeviceFull):
            self._scheduler.shrink(step)

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
            self._latencies.swap["ahead"].observe(seconds)

    def _report(
        self, in_air: _InAir, outcome: Outcome, pieces: dict[int, Piece]
    ) -> None:
        """Tell the scheduler, the counters and the clients what the step did."""
        step = in_air.launched.step
        self._scheduler.report(step, outcome, self._clock())
        told = sum(piece.token is not None for piece in pieces.values())
        stopped = sum(piece.finish in ("eos", "stop") for piece in pieces.values())
        self._counters.count(step, outcome, sampled=told, stopped=stopped)
        self._turns.step(step, outcome, self._landed_at, told, in_air.sequences)
        mode = step.plan.mode
        self._latencies.step[mode].observe(outcome.seconds)
        if outcome.swap is not None:
            self._latencies.swapped(outcome.swap)
        for job, piece in pieces.items():
            sequence = self._batch[job]
            self._outbox.put(sequence.ticket, self._timed(sequence, piece))
            if piece.finish is not None:
                self._batch.leave(job)

    def _timed(self, sequence: Sequence, piece: Piece) -> Piece:
        """Note when it came; the last one tells of the whole job."""
        name, times = sequence.adapter, sequence.times
        seconds, is_gap = times.token(piece.mode, self._landed_at)
        if is_gap:
            self._latencies.gap(name, seconds)
        else:
            self._latencies.first_token(name, seconds)
        if piece.finish is None:
            return piece
        stats = times.stats(self._latencies.all_swaps)
        self._latencies.finished(name, stats)
        return replace(piece, stats=stats)


def _step_failed(text: str) -> StepFailed:
    return StepFailed(f"the model failed on this step: {text}")
