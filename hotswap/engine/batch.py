"""Batch: the unfinished sequences, what they hold, and one forward pass over some.

A sequence holds a lease on its generation from `add` until `leave`, and samples from
its first step until `close` or `leave`. The scheduler says where its KV is.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from hotswap.adapters.generation import Generation
from hotswap.adapters.store import Store
from hotswap.engine.sequence import Sequence
from hotswap.engine.ticket import Piece
from hotswap.error_boundary import error_boundary
from hotswap.errors import GrammarFailed, HotswapError, StepFailed
from hotswap.model.executor import Executor, Flight
from hotswap.model.network.rows import Row
from scheduler import Mode, Scheduler, Step, Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launched:
    """A step in the air, and the jobs that it gives a token, in order."""

    step: Step
    jobs: tuple[int, ...]
    flight: Flight


class Batch:
    """Owned by the engine thread."""

    def __init__(self, executor: Executor, store: Store, scheduler: Scheduler) -> None:
        self._executor = executor
        self._store = store
        self._scheduler = scheduler
        self._sequences: dict[int, Sequence] = {}

    def __contains__(self, job: int) -> bool:
        return job in self._sequences

    def __getitem__(self, job: int) -> Sequence:
        return self._sequences[job]

    def __iter__(self) -> Iterator[Sequence]:
        return iter(list(self._sequences.values()))

    def generation(self, key: str) -> Generation | None:
        """The generation of that key, if a sequence leases it."""
        leased = (sequence.generation for sequence in self._sequences.values())
        return next((g for g in leased if g is not None and g.key == key), None)

    def add(self, sequence: Sequence) -> None:
        """Take a sequence whose generation is leased."""
        self._sequences[sequence.job.id] = sequence

    def leave(self, job: int) -> None:
        """Give back what a job held. Forgets a generation that this was the last of."""
        sequence = self._sequences[job]
        self.close(job)
        del self._sequences[job]
        if sequence.generation is not None:
            self.forget(self._store.release(sequence.generation))

    def close(self, job: int) -> None:
        """End a job's sampling: whatever is still to be computed of it is launched."""
        sequence = self._sequences[job]
        if sequence.is_sampling:
            sequence.is_sampling = False
            self._executor.close(job)

    def forget(self, keys: list[str]) -> None:
        """Drop generations that no name and no lease holds, and their KV."""
        for key in keys:
            self._scheduler.forget(key)
            self._executor.forget(key)

    def pin(self, keys: frozenset[str]) -> None:
        """Slots that hold these are given up last."""
        self._executor.weights.pinned = keys

    def knows(self, step: Step) -> bool:
        """Whether all that it fills has landed: a job that was sent back may have had
        its last token in the air."""
        return all(
            self._sequences[job.id].has_landed(job.tokens)
            for job, _, is_prefill in step.work
            if is_prefill
        )

    def launch(self, step: Step) -> Launched:
        """Begin one forward pass. The weights are as the step wants them. Jobs whose
        first step it is begin to sample."""
        rows = [self._row(work) for work in step.work]
        flight = self._executor.launch(rows, mixed=step.plan.mode is Mode.MIXED)
        return Launched(step, tuple(r.job for r in rows if r.wants_logits), flight)

    def land(
        self, launched: Launched
    ) -> tuple[dict[int, Piece], list[tuple[Sequence, HotswapError]]]:
        """Wait for it. The piece of each job that got a token; and the sequences that
        could get none: their logits are no numbers, or their tokenizer raised. Samples
        of jobs that have left meanwhile are dropped.
        """
        samples = self._executor.land(launched.flight)
        pieces: dict[int, Piece] = {}
        failed: list[tuple[Sequence, HotswapError]] = []
        for job, sample in zip(launched.jobs, samples, strict=True):
            sequence = self._sequences.get(job)
            if sequence is None:
                continue
            if sample is None:
                error = StepFailed("the model's logits are not finite")
                failed.append((sequence, error))
                continue
            if sample.is_refused:
                failed.append((sequence, GrammarFailed()))
                continue
            try:
                with error_boundary(_no_text):  # an adapter's own tokenizer, for one
                    pieces[job] = sequence.push(sample, launched.step.plan.mode)
            except HotswapError as raised:
                log.error("no text of token=%d", sample.token, exc_info=raised)
                failed.append((sequence, raised))
        return pieces, failed

    def _row(self, work: Work) -> Row:
        """A job's part of the pass. It begins to sample if this is its first."""
        job, sequence = work.job, self._sequences[work.job.id]
        if not sequence.is_sampling:
            # Also where opening fails halfway: it is closed.
            sequence.is_sampling = True
            self._executor.open(
                job.id,
                sequence.params,
                prompt=sequence.prompt,
                ends=sequence.ends,
            )
        tokens, position = sequence.tokens_for(work.tokens)
        is_last = not work.is_prefill or work.tokens == job.unfilled_tokens
        return Row(
            job=job.id,
            tokens=tokens,
            position=position,
            generation=sequence.generation,
            wants_logits=is_last,
            blocks=job.blocks,
            targets=sequence.targets_for(work.tokens),
        )


def _no_text(text: str) -> StepFailed:
    return StepFailed(f"its token could not be made text: {text}")
