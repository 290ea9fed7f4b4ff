"""Calls: one call of the operator's code, and who may say what became of it.

A thread of Python's cannot be ended from outside, but it can be made to raise, at the
next step of Python that it takes: that ends a loop which has no end, and no wait in C.
It must not happen to a thread that has finished meanwhile and holds one of our locks.
So each call has a gate that is passed once: by the thread that has finished it, or by
the one that gives it up.
"""

import asyncio
import ctypes
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any


class Overtime(BaseException):
    """Raised in a call that was given up, wherever it is."""


@dataclass(eq=False, slots=True)
class Call:
    """`name`: of the function, for people. `work`: gives the result, or makes the
    coroutine that does. `limit_s`: from its beginning; `ends_at`: when that is over.
    `context`: that of who asked."""

    name: str
    work: Callable[[], Any]
    limit_s: float
    future: "Future[Any]" = field(default_factory=Future)
    context: Context = field(default_factory=copy_context)
    ends_at: float = math.inf
    task: "asyncio.Task[Any] | None" = None
    was_told: bool = False  # that it is cancelled
    _gate: threading.Lock = field(default_factory=threading.Lock)

    def passes(self) -> bool:
        """Whether nobody has settled it yet; from now on the caller has to."""
        return self._gate.acquire(blocking=False)

    def settle(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    def cancel(self) -> None:
        """On its event loop."""
        self.was_told = True
        if self.task is not None:
            self.task.cancel()


def raise_in(thread: threading.Thread) -> None:
    """Have a thread raise Overtime as soon as it runs Python."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Overtime)
        )
