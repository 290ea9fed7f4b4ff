"""Batch: the unfinished sequences, what they hold, and one forward pass over some.

A sequence holds a lease on its generation from `add`, and KV from its first step,
until `leave` gives both back.
"""

import logging
from collections.abc import Iterator

from hotswap.adapters.generation import Generation
from hotswap.adapters.store import Store
from hotswap.engine.executor import Executor
from hotswap.engine.sampling import sample
from hotswap.engine.sequence import Sequence
from hotswap.engine.ticket import Piece
from hotswap.error_boundary import error_boundary
from hotswap.errors import HotswapError, StepFailed
from hotswap.model.network.rows import Row
from scheduler import Mode, Step, Work

log = logging.getLogger(__name__)


class Batch:
    """Owned by the engine thread."""

    def __init__(self, executor: Executor, store: Store) -> None:
        self._executor = executor
        self._store = store
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
        sequence = self._sequences.pop(job)
        if sequence.has_kv:
            self._executor.close(job)
        if sequence.generation is not None:
            self.forget(self._store.release(sequence.generation))

    def forget(self, keys: list[str]) -> None:
        """Drop generations that no name and no lease holds."""
        for key in keys:
            self._executor.forget(key)

    def pin(self, keys: frozenset[str]) -> None:
        """Slots that hold these are given up last."""
        self._executor.weights.pinned = keys

    def run(
        self, step: Step
    ) -> tuple[dict[int, Piece], list[tuple[Sequence, HotswapError]]]:
        """One forward pass. The piece of each job that got a token; and the sequences
        that could get none: their logits are no numbers, or their tokenizer raised.

        The weights are as the step wants them. Mutates the sequences and their KV.
        """
        rows = [self._row(work) for work in step.work]
        logits = self._executor.run(rows, mixed=step.plan.mode is Mode.MIXED)
        sampled = [self._sequences[row.job] for row in rows if row.wants_logits]
        if not sampled:
            return {}, []
        samples = sample(logits, [sequence.sampler for sequence in sampled])
        pieces: dict[int, Piece] = {}
        failed: list[tuple[Sequence, HotswapError]] = []
        for sequence, chosen in zip(sampled, samples, strict=True):
            if chosen is None:
                error = StepFailed("the model's logits are not finite")
                failed.append((sequence, error))
                continue
            try:
                with error_boundary(_no_text):  # an adapter's own tokenizer, for one
                    pieces[sequence.job.id] = sequence.push(chosen, step.plan.mode)
            except HotswapError as raised:
                log.error("no text of token=%d", chosen.token, exc_info=raised)
                failed.append((sequence, raised))
        return pieces, failed

    def _row(self, work: Work) -> Row:
        """A job's part of the pass. Opens its KV if this is its first."""
        job, sequence = work.job, self._sequences[work.job.id]
        if not sequence.has_kv:
            self._executor.open(job.id, job.kv_tokens)
            sequence.has_kv = True
        tokens, position = sequence.tokens_for(work.tokens)
        return Row(
            job=job.id,
            tokens=tokens,
            position=position,
            generation=sequence.generation,
            wants_logits=job.prefilled + work.tokens >= job.prompt_tokens,
        )


def _no_text(text: str) -> StepFailed:
    return StepFailed(f"its token could not be made text: {text}")
