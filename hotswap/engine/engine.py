"""The engine: one thread that owns all serving state.

    read letters -> decide -> activate -> run -> sample -> report -> deliver

Everybody else writes it letters and reads the frozen `status`. It knows no HTTP and no
files. A step that fails fails its own jobs; a merge that fails fails that adapter; the
loop goes on from golden.
"""

import itertools
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence as Seq
from typing import Protocol

import torch

from hotswap.adapters.deltas import Generation
from hotswap.adapters.store import Store, is_base
from hotswap.engine.letters import Adopt, Cancel, Letter, Refuse, Retire, Stop, Submit
from hotswap.engine.sampling import sample
from hotswap.engine.sequence import Sequence
from hotswap.engine.status import Counters, Status
from hotswap.engine.text import Tokenizer
from hotswap.engine.ticket import Accepted, Event, Piece, Ticket
from hotswap.errors import (
    HotswapError,
    MergeFailed,
    Overloaded,
    PromptTooLong,
    StepFailed,
    Stopping,
)
from hotswap.model.rows import Row
from scheduler import (
    BASE,
    BacklogFull,
    Idle,
    Job,
    Mode,
    Outcome,
    Scheduler,
    Step,
    Swap,
)

log = logging.getLogger(__name__)


class Weights(Protocol):
    @property
    def resident(self) -> str: ...
    @property
    def warm(self) -> frozenset[str]: ...
    def activate(self, generation: Generation | None) -> Swap | None: ...


class Model(Protocol):
    """What the engine needs of `model.runner.Runner`."""

    @property
    def weights(self) -> Weights: ...
    def open(self, job: int, tokens: int) -> None: ...
    def close(self, job: int) -> None: ...
    def run(self, rows: Seq[Row], *, mixed: bool) -> torch.Tensor: ...
    def forget(self, generation: str) -> None: ...


class Engine:
    def __init__(
        self,
        model: Model,
        scheduler: Scheduler,
        store: Store,
        tokenizer: Tokenizer,
        *,
        eos: frozenset[int],
        context: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._store = store
        self._tokenizer = tokenizer
        self._eos = eos
        self._limit = min(context, scheduler.kv_tokens)
        self._clock = clock
        self._letters: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._sequences: dict[int, Sequence] = {}
        self._outbox: list[tuple[Ticket, Event]] = []
        self._counters = Counters()
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.status = self._snapshot()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, drain_s: float) -> None:
        """Drain, then end the thread. Blocks up to `drain_s` and a step."""
        self.post(Stop(drain_s))
        self._thread.join()

    def post(self, letter: Letter) -> None:
        """From any thread."""
        self._letters.put(letter)

    def open_ticket(self) -> Ticket:
        """On the event loop: a ticket to put into a `Submit`."""
        return Ticket(next(self._ids), lambda job: self.post(Cancel(job)))

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            # Reached by a bug too: nobody may wait for ever.
            for sequence in list(self._sequences.values()):
                self._outbox.append((sequence.ticket, Stopping()))
            self._deliver()

    def _turn(self) -> bool:
        """One round of the loop; False when it is time to end."""
        decision = self._scheduler.decide(self._clock())
        if isinstance(decision, Step):
            self._step(decision)
        else:
            self._scheduler.check()
        self.status = self._snapshot()
        self._deliver()
        idle = isinstance(decision, Idle)
        if self._stop_at is not None and (idle or self._clock() > self._stop_at):
            return False
        self._read_letters(wait=idle)
        return True

    # --- letters -----------------------------------------------------------------

    def _read_letters(self, *, wait: bool) -> None:
        try:
            letter = self._letters.get(block=wait)
            while True:
                self._take(letter)
                letter = self._letters.get_nowait()
        except queue.Empty:
            pass
        self.status = self._snapshot()
        self._deliver()

    def _take(self, letter: Letter) -> None:
        match letter:
            case Submit():
                self._submit(letter)
            case Cancel(job):
                if job in self._sequences:
                    self._scheduler.cancel(job)
                    self._leave(job)
                    self._counters.cancelled += 1
            case Adopt(name, generation):
                self._forget(self._store.adopt(name, generation))
                log.info("adapter adopted name=%s generation=%s", name, generation.key)
            case Refuse(name, reason):
                self._store.refuse(name, reason)
                log.warning("adapter refused name=%s reason=%s", name, reason)
            case Retire(name):
                self._forget(self._store.retire(name))
                log.info("adapter retired name=%s", name)
            case Stop(drain_s):
                self._stop_at = self._clock() + drain_s

    def _submit(self, letter: Submit) -> None:
        ticket = letter.ticket
        try:
            generation = self._accept(letter)
        except HotswapError as error:
            self._counters.refused += 1
            self._outbox.append((ticket, error))
            return
        key = generation.key if generation else BASE
        self._outbox.append((ticket, Accepted(key)))

    def _accept(self, letter: Submit) -> Generation | None:
        if self._stop_at is not None:
            raise Stopping
        prompt = len(letter.prompt)
        if prompt + letter.max_tokens > self._limit:
            raise PromptTooLong(prompt, letter.max_tokens, self._limit, "prompt")
        generation = None
        if letter.adapter is not None and not is_base(letter.adapter):
            generation = self._store.lease(letter.adapter)
        job = Job(
            id=letter.ticket.job,
            generation=generation.key if generation else BASE,
            prompt_tokens=prompt,
            max_tokens=letter.max_tokens,
            arrival=self._clock(),
        )
        try:
            self._scheduler.submit(job)
        except BacklogFull as error:
            if generation:
                self._forget(self._store.release(generation))
            raise Overloaded(str(error)) from None
        self._sequences[job.id] = Sequence(
            job, letter, generation, self._tokenizer, self._eos
        )
        self._counters.accepted += 1
        return generation

    # --- a step ------------------------------------------------------------------

    def _step(self, step: Step) -> None:
        sequences = [self._sequences[work.job.id] for work in step.work]
        mixed = step.plan.mode is Mode.MIXED
        try:
            swap = self._model.weights.activate(
                None if mixed else sequences[0].generation
            )
        except MergeFailed as error:
            self._merge_failed(sequences[0], error)
            return
        start = time.perf_counter()
        try:
            pieces = self._run_rows(step, sequences, mixed=mixed)
        except Exception as error:
            log.exception("step failed jobs=%d", len(sequences))
            self._fail(sequences, StepFailed(f"the model failed on this step: {error}"))
            return
        outcome = Outcome(
            seconds=time.perf_counter() - start,
            swap=swap,
            finished=frozenset(job for job, piece in pieces.items() if piece.finish),
            warm=self._model.weights.warm,
        )
        self._scheduler.report(step, outcome, self._clock())
        self._counters.count(step, outcome, sampled=len(pieces))
        if swap is not None:
            log.info(
                "swap resident=%s warm=%s seconds=%.4f why=%r",
                self._model.weights.resident,
                swap.warm,
                swap.seconds,
                step.plan.why,
            )
        for job, piece in pieces.items():
            self._outbox.append((self._sequences[job].ticket, piece))
            if piece.finish is not None:
                self._leave(job)

    def _run_rows(
        self, step: Step, sequences: list[Sequence], *, mixed: bool
    ) -> dict[int, Piece]:
        """One forward pass, and the piece of each job that got a token."""
        rows, sampled = [], []
        for work, sequence in zip(step.work, sequences, strict=True):
            job = work.job
            if not sequence.has_kv:
                self._model.open(job.id, job.kv_tokens)
                sequence.has_kv = True
            tokens, position = sequence.tokens_for(work.tokens)
            wants = job.prefilled + work.tokens >= job.prompt_tokens
            if wants:
                sampled.append(sequence)
            rows.append(
                Row(
                    job=job.id,
                    tokens=tokens,
                    position=position,
                    generation=sequence.generation,
                    wants_logits=wants,
                )
            )
        logits = self._model.run(rows, mixed=mixed)
        samples = sample(logits, [s.sampler for s in sampled]) if sampled else []
        return {
            sequence.job.id: sequence.push(chosen, step.plan.mode)
            for sequence, chosen in zip(sampled, samples, strict=True)
        }

    # --- leaving -----------------------------------------------------------------

    def _merge_failed(self, sequence: Sequence, error: MergeFailed) -> None:
        """Fail the adapter: every job that leases this generation, and its names."""
        log.error("merge failed %s", error)
        generation = sequence.generation
        assert generation is not None, "golden cannot fail to merge"
        self._store.fail(generation, f"it could not be merged: {error}")
        theirs = [s for s in self._sequences.values() if s.generation is generation]
        self._fail(theirs, error)

    def _fail(self, sequences: list[Sequence], error: HotswapError) -> None:
        for sequence in sequences:
            self._scheduler.fail(sequence.job.id)
            self._outbox.append((sequence.ticket, error))
            self._leave(sequence.job.id)
            self._counters.failed += 1

    def _leave(self, job: int) -> None:
        """Give back what a job held: its KV and its lease."""
        sequence = self._sequences.pop(job)
        if sequence.has_kv:
            self._model.close(job)
        if sequence.generation is not None:
            self._forget(self._store.release(sequence.generation))

    def _forget(self, keys: list[str]) -> None:
        for key in keys:
            self._model.forget(key)

    # --- handing over ------------------------------------------------------------

    def _deliver(self) -> None:
        """One thread-safe call for each event loop, however many tickets it has."""
        if not self._outbox:
            return
        by_loop = defaultdict(list)
        for ticket, event in self._outbox:
            by_loop[ticket.loop].append((ticket, event))
        self._outbox = []
        for loop, events in by_loop.items():
            try:
                loop.call_soon_threadsafe(_hand_over, events)
            except RuntimeError:  # the loop is closed: nobody is left to read
                log.debug("event loop closed with %d events", len(events))

    def _snapshot(self) -> Status:
        return Status(
            adapters=self._store.listing(),
            resident=self._model.weights.resident,
            warm=self._model.weights.warm,
            waiting=self._scheduler.waiting,
            live=self._scheduler.live,
            free_kv_tokens=self._scheduler.free_kv_tokens,
            kv_tokens=self._scheduler.kv_tokens,
            costs=self._scheduler.costs.table(),
            counters=self._counters.copy(),
            is_stopping=self._stop_at is not None,
        )


def _hand_over(events: list[tuple[Ticket, Event]]) -> None:
    for ticket, event in events:
        ticket.deliver(event)
