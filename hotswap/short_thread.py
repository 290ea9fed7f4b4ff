"""Short thread: work on a thread that ends with it, and that nobody has to wait for.

OpenMP keeps a pool of workers for every thread that ever ran a parallel loop. Once they
outnumber the cores, libgomp's workers no longer spin between loops but sleep,
and each small operation waits for a wake-up: a decoding step takes twice as long
(measured: 50 ms instead of 30 for one sequence). The engine thread's pool must be the
only one that lasts; a pool ends with its thread.

A file of a dead network mount may never come back, whatever one does. So the thread is
a daemon, which no exit joins, and `at_disk` tells how long it has waited for the disk:
a slow one moves on, a dead one does not.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class ShortThread(Generic[T]):
    """`future` gets the result of `work`, or whatever it raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        """Starts at once. Raises OSError if the system has no thread for it."""
        self.future: Future[T] = Future()
        self._work = work
        self._started_at = time.monotonic()
        self._thread = _Thread(self._run)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error)) from None

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started_at

    @property
    def stuck_s(self) -> float:
        """How long it has waited for the disk to answer; 0 if it does not wait."""
        since = self._thread.at_disk_since
        return 0.0 if since is None else time.monotonic() - since

    def wait(self, disk_patience_s: float | None = None) -> bool:
        """Block until it is done; False if the disk has not answered for so long."""
        while True:
            left = None if disk_patience_s is None else disk_patience_s - self.stuck_s
            self._thread.join(None if left is None else max(left, 0.0))
            if self.future.done():
                return True
            if disk_patience_s is not None and self.stuck_s >= disk_patience_s:
                return False

    def _run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:  # a panic of Rust's, too: it is told to who asks
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        finally:
            del self._work


class _Thread(threading.Thread):
    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__(target=run, name="short thread", daemon=True)
        self.at_disk_since: float | None = None


@contextmanager
def at_disk() -> Iterator[None]:
    """Around each single operation on a file that may not come back."""
    thread = threading.current_thread()
    if not isinstance(thread, _Thread):
        yield
        return
    thread.at_disk_since = time.monotonic()
    try:
        yield
    finally:
        thread.at_disk_since = None


def in_short_thread(work: Callable[[], T], disk_patience_s: float | None = None) -> T:
    """The result of `work`, or what it raised. Blocks until it is done.

    Raises TimeoutError if the disk has not answered it for `disk_patience_s`, and
    OSError as `ShortThread`.
    """
    sent = ShortThread(work)
    if not sent.wait(disk_patience_s):
        raise TimeoutError("the disk does not answer")
    return sent.future.result()
