"""Runner: calls of the operator's functions, beside all threads of the server's.

Plain functions run on a few threads, by default on one, as in DJL; coroutines together
on one event loop. Who waits is bounded, and so is the time of each call: one that has
used it up is failed at once, and its thread is replaced whether it ends or not. How
many may be lost in that way is bounded, too.
"""

import inspect
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from hotswap.errors import Overloaded, Stopping, Vetoed
from hotswap.handler.calls import Call, Overtime, raise_in
from hotswap.handler.event_loop import EventLoop

_MOST_LOST = 16
_GRACE_S = 1.0  # in which an event loop hears that a call is cancelled


class Runner:
    """Called from any thread. Starts none before the first call."""

    def __init__(
        self, *, threads: int = 1, limit_s: float = 120.0, most_waiting: int = 1000
    ) -> None:
        """`threads`: plain functions at once. `limit_s`: how long a call may take from
        its beginning. `most_waiting`: calls that have not begun; of coroutines, calls
        that are not over."""
        self._most_threads = threads
        self._limit_s = limit_s
        self._most_waiting = most_waiting
        lock = threading.Lock()
        self._work, self._ends = threading.Condition(lock), threading.Condition(lock)
        self._waiting: deque[Call] = deque()
        self._running: dict[Call, _Worker | EventLoop] = {}
        self._workers: list[_Worker] = []
        self._loop: EventLoop | None = None
        self._lost: list[threading.Thread] = []
        self._watching: threading.Thread | None = None
        self._is_closed = False

    @property
    def lost(self) -> int:
        """Threads that were given up and have not ended."""
        return sum(thread.is_alive() for thread in list(self._lost))

    def call(
        self,
        name: str,
        work: Callable[[], Any],
        *,
        is_urgent: bool = False,
        is_limited: bool = True,
    ) -> "Future[Any]":
        """Its result or what it raised; `name` is the function's. Cancelled before it
        has begun, it never does. Raises Overloaded, Stopping, or Vetoed if too many do
        not come back; the future raises Vetoed when its time is over."""
        call = Call(name, work, self._limit_s if is_limited else math.inf)
        is_coroutine = inspect.iscoroutinefunction(work)
        with self._work:
            if self._is_closed:
                raise Stopping
            if self.lost >= _MOST_LOST:
                raise Vetoed(f"{name} is not called: {self.lost} calls hang")
            waiting = len(self._running) if is_coroutine else len(self._waiting)
            if waiting >= self._most_waiting and not is_urgent:
                raise Overloaded(f"{waiting} calls of {name} wait already")
            try:
                if self._watching is None:
                    self._watching = _started(self._watch)
                if is_coroutine:
                    self._begin(call)
                else:
                    self._enqueue(call, is_urgent)
            except RuntimeError:
                raise Overloaded(f"there is no thread to call {name}") from None
        return call.future

    def close(self) -> None:
        """Begin nothing any more. What runs is not waited for."""
        with self._work:
            self._is_closed = True
            waiting, self._waiting = self._waiting, deque()
            if self._loop is not None and not self._loop.is_lost:
                self._loop.retire()
            self._work.notify_all()
            self._ends.notify_all()
        for call in waiting:
            if call.future.set_running_or_notify_cancel():
                call.settle(None, Stopping())

    def _begin(self, call: Call) -> None:
        """A coroutine."""
        if self._loop is None or self._loop.is_lost:
            self._loop = EventLoop()
        call.future.set_running_or_notify_cancel()
        call.future.add_done_callback(lambda _: self._running.pop(call, None))
        self._run_for(call, self._loop, call.limit_s)
        self._loop.begin(call)

    def _enqueue(self, call: Call, is_urgent: bool) -> None:
        if len(self._workers) < self._most_threads:
            self._workers.append(_Worker(self))
        if is_urgent:
            self._waiting.appendleft(call)
        else:
            self._waiting.append(call)
        self._work.notify()

    def _run_for(self, call: Call, host: "_Worker | EventLoop", seconds: float) -> None:
        call.ends_at = time.monotonic() + seconds
        self._running[call] = host
        self._ends.notify()

    def next(self, worker: "_Worker") -> Call | None:
        """The call to make; None: the thread may end. For workers."""
        with self._work:
            while not self._is_closed:
                if not self._waiting:
                    self._work.wait()
                    continue
                call = self._waiting.popleft()
                if call.future.set_running_or_notify_cancel():
                    self._run_for(call, worker, call.limit_s)
                    return call
            return None

    def over(self, call: Call) -> None:
        """For workers."""
        with self._work:
            self._running.pop(call, None)

    def _watch(self) -> None:
        while True:
            with self._ends:
                if self._is_closed:
                    return
                now = time.monotonic()
                running = list(self._running.items())
                due = [(c, host) for c, host in running if c.ends_at <= now]
                if not due:
                    first = min((c.ends_at for c, _ in running), default=math.inf)
                    self._ends.wait(None if first == math.inf else first - now)
                    continue
            for call, host in due:
                if isinstance(host, EventLoop):
                    self._give_up_task(call, host)
                else:
                    self._give_up(call, host)

    def _give_up(self, call: Call, host: "_Worker") -> None:
        if not call.passes():
            return  # it is over just now
        with self._work:
            self._running.pop(call, None)
            self._lose(host.thread)
            self._workers.remove(host)
            raise_in(host.thread)
            if self._waiting:
                with suppress(RuntimeError):  # no thread: the next call tries again
                    self._workers.append(_Worker(self))
        call.settle(None, _too_long(call))

    def _give_up_task(self, call: Call, loop: EventLoop) -> None:
        """First it is cancelled; if the loop does not hear of that, it is blocked."""
        if call.passes():
            loop.cancel(call)
            call.settle(None, _too_long(call))
            with self._work:
                self._run_for(call, loop, _GRACE_S)
            return
        with self._work:
            self._running.pop(call, None)
            if not call.was_told and not loop.is_lost:
                self._lose(loop.thread)
                loop.interrupt()

    def _lose(self, thread: threading.Thread) -> None:
        self._lost = [each for each in self._lost if each.is_alive()] + [thread]


class _Worker:
    """A thread that makes calls until one of them is given up."""

    def __init__(self, runner: Runner) -> None:
        """Starts. Raises RuntimeError if the system has no thread."""
        self._runner = runner
        self.thread = _started(self._run)

    def _run(self) -> None:
        with suppress(Overtime):
            while (call := self._runner.next(self)) is not None:
                result, error = None, None
                try:
                    result = call.context.run(call.work)
                except BaseException as raised:  # it must not end who waits for it
                    error = raised
                if not call.passes():
                    return  # it was given up, and so was this thread
                self._runner.over(call)
                call.settle(result, error)
                del call, result, error


def _too_long(call: Call) -> Vetoed:
    return Vetoed(f"{call.name} has not finished within {call.limit_s:g} s")


def _started(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, name="handler", daemon=True)
    thread.start()
    return thread
