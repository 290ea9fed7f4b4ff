"""The engine: one thread that owns all serving state.

    read letters -> decide -> activate -> run -> report -> deliver

Everybody else writes it letters and reads the frozen `status`. It knows no HTTP and no
files. A step that fails fails its own jobs; a merge that fails fails that adapter; the
loop goes on from golden.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from hotswap.adapters.deltas import Generation
from hotswap.adapters.store import Store
from hotswap.engine.batch import Batch, Model
from hotswap.engine.inbox import Inbox
from hotswap.engine.letters import Cancel, Drain, Letter, Mark, Stop
from hotswap.engine.outbox import Outbox
from hotswap.engine.reception import Reception
from hotswap.engine.sequence import Sequence
from hotswap.engine.status import Counters, Status, snapshot
from hotswap.engine.ticket import Ticket
from hotswap.errors import (
    HotswapError,
    InternalError,
    MergeFailed,
    MixFailed,
    StepFailed,
    Stopping,
)
from hotswap.outside import outside
from hotswap.tokenizer import Tokenizer
from scheduler import Idle, Mode, Outcome, Scheduler, Step

log = logging.getLogger(__name__)

_MOST_FAULTS = 8


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
        fetch: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._store = store
        self._clock = clock
        self._inbox = Inbox()
        self._ids = itertools.count(1)
        self._batch = Batch(model, store)
        self._outbox = Outbox()
        self._counters = Counters()
        self.limit = min(context, scheduler.kv_tokens)  # of a prompt and its answer
        self._reception = Reception(
            store,
            self._batch,
            scheduler,
            self._outbox,
            counters=self._counters,
            tokenizer=tokenizer,
            eos=eos,
            limit=self.limit,
            fetch=fetch,
            clock=clock,
        )
        self._faults = 0  # turns that a bug has ended, one after another
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.status = self._snapshot()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def drain(self, limit_s: float) -> None:
        """From any thread: begin to end. A second call changes nothing."""
        self.post(Drain(limit_s))

    def stop(self, limit_s: float) -> None:
        """Drain, then end the thread. Blocks up to `limit_s` and a step."""
        self.drain(limit_s)
        self.post(Stop())
        self._thread.join()

    def post(self, letter: Letter) -> None:
        """From any thread. After the end it is answered all the same."""
        self._inbox.post(letter)

    def seen(self) -> "Future[None]":
        """From any thread: done when `status` shows what was posted before."""
        mark = Mark(Future())
        if self.is_alive:
            self.post(mark)
        else:
            mark.answer()
        return mark.seen

    def open_ticket(self) -> Ticket:
        """On the event loop: a ticket to put into a `Submit`."""
        return Ticket(next(self._ids), lambda job: self.post(Cancel(job)))

    def _run(self) -> None:
        try:
            while self._guarded_turn():
                pass
        except BaseException as error:
            log.critical("the engine has ended by a bug", exc_info=error)
        finally:
            # Reached by a bug too: nobody may wait for ever.
            for sequence in self._batch:
                self._outbox.put(sequence.ticket, Stopping())
            self._reception.close()
            self._outbox.deliver()
            self._inbox.close()

    def _guarded_turn(self) -> bool:
        """As `_turn`. A bug fails all jobs, whoever's it is, and the loop goes on with
        none. Raises one that strikes again and again all the same."""
        try:
            with outside(InternalError):
                goes_on = self._turn()
        except HotswapError as error:
            log.error("turn failed", exc_info=error)
            self._faults += 1
            if self._faults >= _MOST_FAULTS:
                raise
            self._fail(self._batch, error)
            return True
        self._faults = 0
        return goes_on

    def _turn(self) -> bool:
        """One round of the loop; False when it is time to end."""
        drain_until = self._reception.drain_until
        if drain_until is not None and self._clock() > drain_until:
            self._fail(self._batch, Stopping())
        decision = self._scheduler.decide(self._clock())
        if isinstance(decision, Step):
            seconds = self._step(decision)
            self._publish()
            self._prepare(decision.plan.prepare, seconds)
        else:
            self._scheduler.check()
            self._publish()
        idle = isinstance(decision, Idle)
        if idle and self._reception.is_stopping:
            return False
        self._read_letters(wait=idle)
        return True

    def _step(self, step: Step) -> float:
        """Run one step; the seconds it took."""
        sequences = [self._batch[work.job.id] for work in step.work]
        mixed = step.plan.mode is Mode.MIXED
        wanted = None if mixed else sequences[0].generation
        try:
            swap = self._model.weights.activate(wanted)
        except MergeFailed as error:
            if wanted is None:  # golden has left, and the bare model was not built
                log.error("merge failed %s", error)
                self._fail(sequences, StepFailed(str(error)))
            else:
                self._refuse_generation(wanted, error)
            return 0.0
        start = time.perf_counter()
        try:
            with outside(_step_failed):
                pieces, spoilt = self._batch.run(step)
        except MixFailed as error:
            at_fault = self._batch.generation(error.generation)
            assert at_fault is not None, "it has no job in this step"
            self._refuse_generation(at_fault, error)
            return 0.0
        except HotswapError as error:
            log.error("step failed jobs=%d", len(sequences), exc_info=error)
            self._fail(sequences, error)
            return 0.0
        outcome = Outcome(
            seconds=time.perf_counter() - start,
            swap=swap,
            finished=frozenset(job for job, piece in pieces.items() if piece.finish),
            warm=self._model.weights.warm,
        )
        self._scheduler.report(step, outcome, self._clock())
        self._counters.count(step, outcome, sampled=len(pieces))
        if swap is not None:
            resident = self._model.weights.resident
            log.info("swap resident=%s %s why=%r", resident, swap, step.plan.why)
        for job, piece in pieces.items():
            self._outbox.put(self._batch[job].ticket, piece)
            if piece.finish is not None:
                self._batch.leave(job)
        for sequence, failure in spoilt:
            self._fail([sequence], failure)
        return outcome.seconds

    def _prepare(self, key: str | None, budget_s: float) -> None:
        """Build ahead for as long as a step takes: no stream waits longer for it."""
        generation = None if key is None else self._batch.generation(key)
        if generation is None:
            return
        try:
            seconds = self._model.weights.prepare(generation, budget_s)
        except MergeFailed as error:
            self._refuse_generation(generation, error)
            return
        if seconds is not None:
            self._scheduler.prepared(generation.key, seconds)
            self._counters.built_ahead += 1
            self._counters.swap_seconds += seconds

    def _refuse_generation(
        self, generation: Generation, error: MergeFailed | MixFailed
    ) -> None:
        """Fail every job that leases this generation; no name stands for it now."""
        kind = "merged" if isinstance(error, MergeFailed) else "mixed"
        log.error("generation could not be %s: %s", kind, error)
        self._store.fail(generation, f"it could not be {kind}: {error}")
        self._fail((s for s in self._batch if s.generation is generation), error)

    def _fail(self, sequences: Iterable[Sequence], error: HotswapError) -> None:
        for sequence in sequences:
            self._scheduler.fail(sequence.job.id)
            self._outbox.put(sequence.ticket, error)
            self._batch.leave(sequence.job.id)
            self._counters.failed += 1

    def _read_letters(self, *, wait: bool) -> None:
        for letter in self._inbox.read(wait=wait):
            self._reception.take(letter)
        self._publish()

    def _publish(self) -> None:
        self.status = self._snapshot()
        self._reception.published()
        self._outbox.deliver()

    def _snapshot(self) -> Status:
        return snapshot(
            self._store,
            self._scheduler,
            self._model,
            self._counters,
            is_stopping=self._reception.drain_until is not None,
        )


def _step_failed(text: str) -> StepFailed:
    return StepFailed(f"the model failed on this step: {text}")
