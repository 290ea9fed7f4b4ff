"""The engine: one thread that owns all serving state.

    decide -> run the step -> publish -> build ahead -> read messages -> decide ...

To run is to launch a step and to land one: the same, or the one launched before it.

Everybody else writes it messages, and reads the frozen `status`. It knows no HTTP, no
files and no device.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from hotswap.adapters.store import Store
from hotswap.engine.batch import Batch
from hotswap.engine.failures import Failures
from hotswap.engine.inbox import Inbox
from hotswap.engine.latencies import Latencies
from hotswap.engine.message_handler import MessageHandler
from hotswap.engine.messages import Cancel, Drain, Message, Stop, Sync
from hotswap.engine.outbox import Outbox
from hotswap.engine.queue_limits import QueueLimits
from hotswap.engine.queues import Queues
from hotswap.engine.status import Counters, Status, snapshot
from hotswap.engine.step_runner import StepRunner
from hotswap.engine.sums import SumOrder, Sums
from hotswap.engine.ticket import Ticket
from hotswap.engine.turns import Turns
from hotswap.error_boundary import error_boundary
from hotswap.errors import DeviceLost, HotswapError, InternalError, Stopping
from hotswap.model.executor import Executor
from hotswap.tokenizer import Tokenizer
from scheduler import Idle, Scheduler, Step

log = logging.getLogger(__name__)

_MOST_FAULTS = 8  # rounds in a row that a bug may end before it ends the thread


class Engine:
    def __init__(
        self,
        executor: Executor,
        scheduler: Scheduler,
        store: Store,
        tokenizer: Tokenizer,
        *,
        eos: frozenset[int],
        context: int,
        prefix_cache: bool,
        fetch: Callable[[str], None],
        compose: Callable[[SumOrder], None],
        queue_limits: QueueLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`context`: most tokens of a prompt and its answer, as the model has it.
        `prefix_cache`: whether jobs use KV that others have computed, if it can be.
        `fetch`: asks for an adapter that is on disk to be read, `compose` for a sum of
        adapters to be made; both return at once. `queue_limits`: if there are any."""
        self._executor, self._scheduler = executor, scheduler
        self._store, self._clock = store, clock
        self._inbox, self._ids = Inbox(), itertools.count(1)
        self._batch = Batch(executor, store, scheduler)
        self._outbox, self._counters = Outbox(), Counters()
        self.latencies, self.turns = Latencies(), Turns()
        self._queues = Queues(scheduler, self._batch, clock)
        self.limit = min(context, scheduler.kv_tokens)  # of a prompt and its answer
        self.has_prefix_cache = prefix_cache and executor.shares_blocks
        self._handler = MessageHandler(
            store,
            self._batch,
            scheduler,
            self._outbox,
            counters=self._counters,
            latencies=self.latencies,
            tokenizer=tokenizer,
            eos=eos,
            limit=self.limit,
            hash_block_tokens=executor.block_tokens if self.has_prefix_cache else None,
            queue_limits=queue_limits,
            fetch=fetch,
            sums=Sums(store, compose),
            clock=clock,
        )
        parts = store, self._batch, scheduler, self._outbox
        self._failures = Failures(*parts, self._counters)
        self._step_runner = StepRunner(
            executor,
            self._batch,
            scheduler,
            self._outbox,
            counters=self._counters,
            latencies=self.latencies,
            turns=self.turns,
            failures=self._failures,
            clock=clock,
        )
        self._faults = 0  # rounds that a bug has ended, one after another
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.status = self._snapshot()

    @property
    def kv_block_tokens(self) -> int:
        return self._executor.block_tokens

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def now_s(self) -> float:
        """On the clock of turns and decisions."""
        return self._clock()

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

    def post(self, message: Message) -> None:
        """From any thread. After the end it is answered all the same."""
        self._inbox.post(message)

    def sync(self) -> "Future[None]":
        """From any thread: done when `status` shows what was posted before."""
        sync = Sync(Future())
        if self.is_alive:
            self.post(sync)
        else:
            sync.answer()
        return sync.done

    def open_ticket(self) -> Ticket:
        """On the event loop: a ticket to put into a `Submit`."""
        return Ticket(
            next(self._ids), lambda job: self.post(Cancel(job)), self._clock()
        )

    def _run(self) -> None:
        try:
            while self._guarded_round():
                pass
        except BaseException as error:
            log.critical("the engine has ended by a bug", exc_info=error)
        finally:
            # Reached by a bug too: nobody may wait for ever.
            for sequence in self._batch:
                self._outbox.put(sequence.ticket, Stopping())
            self._handler.close()
            self._outbox.deliver()
            self._inbox.close()
            self._step_runner.drop_all()

    def _guarded_round(self) -> bool:
        """As `_round`. A bug fails all jobs, whosever it is, and the loop goes on with
        none. Raises one that strikes again and again all the same, and DeviceLost."""
        try:
            with error_boundary(InternalError):
                goes_on = self._round()
        except HotswapError as error:
            log.error("round failed", exc_info=error)
            self._faults += 1
            if self._faults >= _MOST_FAULTS:
                raise
            self._failures.fail(self._batch, error)
            self._outbox.deliver()  # before anybody waits for what is in the air
            if isinstance(error, DeviceLost):
                raise
            self._step_runner.drop_all()
            return True
        self._faults = 0
        return goes_on

    def _round(self) -> bool:
        """One round of the loop; False when it is time to end."""
        drain_until = self._handler.drain_until
        if drain_until is not None and self._clock() > drain_until:
            self._failures.fail(self._batch, Stopping())
        match self._scheduler.decide(self._clock()):
            case Step() as step:
                seconds = self._step_runner.run(step)
                self._publish()
                self._step_runner.build_ahead(step.plan.build_ahead, seconds)
                self._read_messages(wait=False)
            case Idle() if self._step_runner.is_in_air:
                self._step_runner.land_all()
                self._read_messages(wait=False)
            case Idle():
                self._scheduler.check()
                self._publish()
                if self._handler.is_ending:
                    return False
                self._read_messages(wait=True)
        return True

    def _read_messages(self, *, wait: bool) -> None:
        messages = list(self._inbox.read(wait=wait))
        for message in messages:
            self._handler.handle(message)
        if messages:
            self._publish()

    def _publish(self) -> None:
        """Show the state as it is now; then the clients get what the round has made."""
        self.status = self._snapshot()
        self._handler.published()
        self._outbox.deliver()

    def _snapshot(self) -> Status:
        return snapshot(
            self._store,
            self._scheduler,
            self._executor,
            self._counters,
            self._handler.awaited,
            queues=self._queues.rows(),
            is_stopping=self._handler.drain_until is not None,
        )
