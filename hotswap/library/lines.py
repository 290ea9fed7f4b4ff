"""Lines: one thread that makes changes; those of one name wait in one line.

What a change has to read is read beside the thread (`Readers`), so that a slow folder
holds up its own name only.
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

from hotswap.errors import Stopping
from hotswap.library.catalogue import Change
from hotswap.library.reader import Read
from hotswap.library.readers import Readers
from hotswap.outside import said

log = logging.getLogger(__name__)

T = TypeVar("T")

_TICK_S = 1.0


@dataclass(slots=True)
class _Asked(Generic[T]):
    """A change that waits or is under way."""

    key: Hashable
    change: Change[T]
    is_urgent: bool
    future: "Future[T]" = field(default_factory=Future)

    def turn_away(self) -> None:
        """Nobody makes it any more."""
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(Stopping())


class Lines:
    """Called from any thread; futures raise what the changes do."""

    def __init__(self, tick: Callable[[], bool], *, patience_s: float) -> None:
        """`tick`, on the thread: do what was left to do; whether anything is left.
        `patience_s`: how long the disk may take to answer."""
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lines: dict[Hashable, deque[_Asked[Any]]] = {}
        self._readers: Readers[Read] = Readers(self._wake, patience_s)
        self._tick = tick
        self._tick_s = min(_TICK_S, patience_s / 4)
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
        self, key: Hashable, change: Change[T], *, is_urgent: bool = True
    ) -> "Future[T]":
        """Changes of one `key` are made in order."""
        asked = _Asked(key, change, is_urgent)
        self._work.put(partial(self._line_up, asked))
        if self._has_ended:
            self._turn_away()
        return asked.future

    def _line_up(self, asked: _Asked[Any]) -> None:
        if self._has_ended:
            asked.turn_away()
            return
        line = self._lines.setdefault(asked.key, deque())
        line.append(asked)
        if len(line) == 1:
            self._begin(asked)
        elif asked.is_urgent:
            self._readers.hurry(asked.key)

    def _begin(self, asked: _Asked[Any]) -> None:
        if self._has_ended:  # it was turned away
            return
        if asked.future.set_running_or_notify_cancel():
            self._go_on(asked, None, None)
        else:  # whoever asked has left
            self._end(asked)

    def _go_on(
        self, asked: _Asked[Any], read: Read | None, error: BaseException | None
    ) -> None:
        """With what was read, or why it could not be."""
        if self._has_ended:
            return
        try:
            if error is not None:
                work = asked.change.throw(error)
            else:
                work = asked.change.send(read)  # type: ignore[arg-type]  # None: begin
        except StopIteration as done:
            asked.future.set_result(done.value)
        except Exception as failure:
            asked.future.set_exception(failure)
        except BaseException as failure:  # it must not end who waits for it
            asked.future.set_exception(RuntimeError(said(failure)))
        else:
            then = partial(self._go_on, asked)
            self._readers.read(asked.key, work, then, is_urgent=asked.is_urgent)
            return
        self._end(asked)

    def _end(self, asked: _Asked[Any]) -> None:
        line = self._lines[asked.key]
        line.popleft()
        if line:
            self._work.put(partial(self._begin, line[0]))
        else:
            del self._lines[asked.key]

    def _wake(self) -> None:
        self._work.put(self._look)

    def _look(self) -> None:
        if not self._has_ended:
            self._readers.look()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            # Reached by a bug too: nobody may wait for ever.
            self._has_ended = True
            for line in self._lines.values():
                for asked in line:
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
            is_idle = self._readers.is_idle and not self.stuck and not is_behind
            try:
                work = self._work.get(timeout=None if is_idle else self._tick_s)
            except queue.Empty:
                work = self._look
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
        stuck = self._readers.stuck
        if stuck != self.stuck:
            log.warning("adapters whose files do not come back: %d", stuck)
        self.stuck = stuck
