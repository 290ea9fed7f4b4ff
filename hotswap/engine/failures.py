"""Failures: what becomes of jobs that cannot be served. A fault stays where it was.

A step that fails fails its own jobs. A generation that cannot be merged or mixed fails
the jobs that lease it, and no name stands for it any more. Nobody is answered by the
base instead.
"""

import logging
from collections.abc import Iterable

from hotswap.adapters.generation import Generation
from hotswap.adapters.store import Store
from hotswap.engine.batch import Batch
from hotswap.engine.outbox import Outbox
from hotswap.engine.sequence import Sequence
from hotswap.engine.status import Counters
from hotswap.errors import HotswapError, MergeFailed, MixFailed, StepFailed
from scheduler import Scheduler

log = logging.getLogger(__name__)


class Failures:
    """Owned by the engine thread."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        scheduler: Scheduler,
        outbox: Outbox,
        counters: Counters,
    ) -> None:
        self._store = store
        self._batch = batch
        self._scheduler = scheduler
        self._outbox = outbox
        self._counters = counters

    def fail(self, sequences: Iterable[Sequence], error: HotswapError) -> None:
        """Tell their clients `error`, and give back what they held. Those that have
        left are passed over."""
        for sequence in sequences:
            if sequence.job.id not in self._batch:
                continue
            self._scheduler.fail(sequence.job.id)
            self._outbox.put(sequence.ticket, error)
            self._batch.leave(sequence.job.id)
            self._counters.failed += 1

    def fail_swap(
        self,
        wanted: Generation | None,
        sequences: Iterable[Sequence],
        error: MergeFailed,
    ) -> None:
        """The step of `sequences` asked for `wanted`, which could not be made resident.

        None: golden has left, and the bare model could not be built again.
        """
        if wanted is None:
            log.error("merge failed %s", error)
            self.fail(sequences, StepFailed(str(error)))
        else:
            self.fail_generation(wanted, error)

    def fail_step(self, sequences: list[Sequence], error: HotswapError) -> None:
        """Their forward pass failed; MixFailed names the only generation at fault."""
        if isinstance(error, MixFailed):
            key, taking_part = error.generation, (s.generation for s in sequences)
            self.fail_generation(
                next(g for g in taking_part if g and g.key == key), error
            )
        else:
            log.error("step failed jobs=%d", len(sequences), exc_info=error)
            self.fail(sequences, error)

    def fail_generation(
        self, generation: Generation, error: MergeFailed | MixFailed
    ) -> None:
        """Fail every job that leases this generation; no name stands for it now."""
        kind = "merged" if isinstance(error, MergeFailed) else "mixed"
        log.error("generation could not be %s: %s", kind, error)
        self._store.fail(generation, f"it could not be {kind}: {error}")
        self.fail((s for s in self._batch if s.generation is generation), error)
