"""Name queues: one thread for all transactions; those of one name in order.

What a transaction has to read is read beside the thread (`ReadPool`), what it waits for
comes when it comes, so that a slow folder or hook holds up its own name only. What it
has to fetch comes beside both.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from hotswap.error_boundary import said
from hotswap.errors import Stopping
from hotswap.library.folder_reader import Read
from hotswap.library.read_pool import ReadPool
from hotswap.library.transaction import Fetch, Transaction
from hotswap.sources.cache_users import Held

log = logging.getLogger(__name__)

T = TypeVar("T")

_TICK_S = 1.0
_FEW_FETCHES, _MOST_FETCHES = 4, 64


@dataclass(slots=True)
class _Asked(Generic[T]):
    """A transaction that waits or is under way."""

    key: Hashable
    transaction: Transaction[T]
    is_urgent: bool
    cancels: bool = False
    future: "Future[T]" = field(default_factory=Future)

    def turn_away(self) -> None:
        """Nobody makes it any more."""
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(Stopping())


class NameQueues:
    """Called from any thread; futures raise what the transactions do."""

    def __init__(self, tick: Callable[[], bool], *, disk_patience_s: float) -> None:
        """`tick`, on the thread: do what was left to do; whether anything is left.
        `disk_patience_s`: how long the disk may take to answer."""
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._queues: dict[Hashable, deque[_Asked[Any]]] = {}
        self._pool: ReadPool[Read] = ReadPool(self._wake, disk_patience_s)
        self._fetches: ReadPool[Held] = ReadPool(
            self._wake, disk_patience_s, few=_FEW_FETCHES, most=_MOST_FETCHES
        )
        self._stops: dict[Hashable, threading.Event] = {}  # of what is being fetched
        self._tick = tick
        self._tick_s = min(_TICK_S, disk_patience_s / 4)
        self._said: set[str] = set()
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="library", daemon=True)
        self.stuck = 0  # reads that do not come back

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was not begun is not done. Waits for no file."""
        self._work.put(None)
        self._thread.join(self._tick_s + 1)

    def do(self, work: Callable[[], None]) -> None:
        """On the thread, when it comes to it."""
        self._work.put(work)

    def ask(
        self,
        key: Hashable,
        transaction: Transaction[T],
        *,
        is_urgent: bool = True,
        cancels: bool = False,
    ) -> "Future[T]":
        """Those of one `key` are made in order. `cancels`: what is fetched for one
        before it is not wanted any more."""
        asked = _Asked(key, transaction, is_urgent, cancels)
        self._work.put(partial(self._enqueue, asked))
        if self._has_ended:
            self._turn_away()
        return asked.future

    def _enqueue(self, asked: _Asked[Any]) -> None:
        if self._has_ended:
            asked.turn_away()
            return
        waiting = self._queues.setdefault(asked.key, deque())
        waiting.append(asked)
        if len(waiting) == 1:
            self._begin(asked)
        elif asked.cancels and asked.key in self._stops:
            self._stops[asked.key].set()
        elif asked.is_urgent:
            self._pool.hurry(asked.key)

    def _begin(self, asked: _Asked[Any]) -> None:
        if self._has_ended:  # it was turned away
            return
        if asked.future.set_running_or_notify_cancel():
            self._go_on(asked, None, None)
        else:  # whoever asked has left
            self._end(asked)

    def _go_on(
        self, asked: _Asked[Any], found: Any, error: BaseException | None
    ) -> None:
        """With what was read, fetched or came, or why it could not be."""
        self._stops.pop(asked.key, None)
        if self._has_ended:
            return
        try:
            if error is not None:
                work = asked.transaction.throw(error)
            else:
                work = asked.transaction.send(found)  # None: begin
        except StopIteration as done:
            asked.future.set_result(done.value)
        except Exception as failure:
            asked.future.set_exception(failure)
        except BaseException as failure:  # it must not end who waits for it
            asked.future.set_exception(RuntimeError(said(failure)))
        else:
            then = partial(self._go_on, asked)
            if isinstance(work, Future):
                self._wait(asked, work)
            elif isinstance(work, Fetch):
                self._fetch(asked, work, then)
            else:
                self._pool.read(asked.key, work, then, is_urgent=asked.is_urgent)
            return
        self._end(asked)

    def _wait(self, asked: _Asked[Any], work: "Future[Any]") -> None:
        def then() -> None:
            error = work.exception()
            self._go_on(asked, None if error else work.result(), error)

        if work.done():
            then()
        else:
            work.add_done_callback(lambda _: self._work.put(then))

    def _fetch(
        self,
        asked: _Asked[Any],
        fetch: Fetch,
        then: Callable[[Held | None, BaseException | None], None],
    ) -> None:
        stop = self._stops[asked.key] = threading.Event()
        work = partial(fetch.work, stop)
        self._fetches.read(asked.key, work, then, is_urgent=asked.is_urgent)

    def _end(self, asked: _Asked[Any]) -> None:
        waiting = self._queues[asked.key]
        waiting.popleft()
        if waiting:
            self._work.put(partial(self._begin, waiting[0]))
        else:
            del self._queues[asked.key]

    def _wake(self) -> None:
        self._work.put(self._poll)

    def _poll(self) -> None:
        if not self._has_ended:
            self._pool.poll()
            self._fetches.poll()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            # Reached by a bug too: nobody may wait for ever.
            self._has_ended = True
            for stop in self._stops.values():
                stop.set()
            for waiting in self._queues.values():
                for asked in waiting:
                    asked.turn_away()
            self._turn_away()

    def _turn_away(self) -> None:
        """On any thread: each work knows what to do when the end has come."""
        with suppress(queue.Empty):
            while True:
                if work := self._work.get_nowait():
                    work()

    def _serve(self) -> None:
        is_behind = False
        while True:
            is_idle = self._pool.is_idle and self._fetches.is_idle
            is_idle &= not self.stuck and not is_behind
            try:
                work = self._work.get(timeout=None if is_idle else self._tick_s)
            except queue.Empty:
                work = self._poll
            if work is None:
                return
            try:
                work()
                is_behind = self._tick()
            except BaseException as error:
                # A bug of ours: it is told once, and the names stay as they are.
                if said(error) not in self._said:
                    self._said.add(said(error))
                    log.exception("the library goes on")
            self._count()

    def _count(self) -> None:
        stuck = self._pool.stuck + self._fetches.stuck
        if stuck != self.stuck:
            log.warning("adapters whose files do not come back: %d", stuck)
        self.stuck = stuck
