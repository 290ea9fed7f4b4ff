"""Read pool: files are read beside the thread that decides, a few at once.

What takes long - a huge adapter, a dead network mount - does not count among the few
any more, so it holds up nobody; how many there may be in all is bounded. A read whose
disk does not answer is given up: it goes on for as long as it likes, and whoever asks
for the same again while it does is refused at once.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hotswap.errors import AdapterRefused
from hotswap.short_thread import ShortThread

T = TypeVar("T")

FEW = 2
MOST = 32


@dataclass(slots=True)
class _Request(Generic[T]):
    key: Hashable
    work: Callable[[], T]
    then: Callable[[T | None, BaseException | None], None]


class ReadPool(Generic[T]):
    """Owned by one thread, which calls `poll` now and then. A key is read once at a
    time."""

    def __init__(
        self,
        wake: Callable[[], None],
        disk_patience_s: float,
        *,
        few: int = FEW,
        most: int = MOST,
    ) -> None:
        """`wake`, from any thread: it is time to `poll`. `disk_patience_s`: how long
        the disk may take to answer, and until when a read counts
        among the `few`. `most`: in all."""
        self._wake = wake
        self._few = few
        self._most = most
        self._disk_patience_s = disk_patience_s
        self._waiting: deque[_Request[T]] = deque()
        self._running: list[tuple[_Request[T], ShortThread[T]]] = []
        self._stuck: dict[Hashable, ShortThread[T]] = {}

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._waiting

    @property
    def stuck(self) -> int:
        """Reads that were given up and have not come back."""
        return len(self._stuck)

    def read(
        self,
        key: Hashable,
        work: Callable[[], T],
        then: Callable[[T | None, BaseException | None], None],
        *,
        is_urgent: bool,
    ) -> None:
        """Have `work` done; `then` gets its result or what it raised, in a `poll`."""
        read = _Request(key, work, then)
        if is_urgent:
            self._waiting.appendleft(read)
        else:
            self._waiting.append(read)
        self.poll()

    def hurry(self, key: Hashable) -> None:
        """Somebody waits for it: it is the next."""
        for read in self._waiting:
            if read.key == key:
                self._waiting.remove(read)
                self._waiting.appendleft(read)
                return

    def poll(self) -> None:
        """Hand on what is done, give up what is stuck, begin what there is room for."""
        self._stuck = {k: e for k, e in self._stuck.items() if not e.future.done()}
        running, self._running = self._running, []
        over: list[Callable[[], None]] = []
        for read, thread in running:
            if thread.future.done():
                over.append(self._outcome(read, thread))
            elif thread.stuck_s >= self._disk_patience_s:
                self._stuck[read.key] = thread
                over.append(self._given_up(read))
            else:
                self._running.append((read, thread))
        while self._waiting and self._has_room():
            read = self._waiting.popleft()
            if read.key in self._stuck:
                over.append(self._given_up(read))
                continue
            try:
                thread = ShortThread(read.work)
            except OSError:  # no thread is to be had: in a later poll
                self._waiting.appendleft(read)
                break
            self._running.append((read, thread))
            thread.future.add_done_callback(lambda _: self._wake())
        for tell in over:  # they may ask for the next read
            tell()

    def _has_room(self) -> bool:
        young = sum(thread.age_s < self._disk_patience_s for _, thread in self._running)
        return young < self._few and len(self._running) + len(self._stuck) < self._most

    @staticmethod
    def _outcome(read: _Request[T], thread: ShortThread[T]) -> Callable[[], None]:
        error = thread.future.exception()
        result = thread.future.result() if error is None else None
        return lambda: read.then(result, error)

    def _given_up(self, read: _Request[T]) -> Callable[[], None]:
        text = f"the disk has not answered for {self._disk_patience_s:g} s"
        error = AdapterRefused("unreadable", text, is_passing=True)
        return lambda: read.then(None, error)
