"""A watch on a directory, what it said, and a clock and a disk that a test moves."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.library.entries import Found
from hotswap.library.watch import Watch

Event = tuple[str, str]
QUIET_S = 10.0


class Shelf:
    """What the watch said: ("found" or "gone", name). Whole folders are good, and what
    is in `passing` cannot be read just now."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.seen_first: list[str] = []
        self.passing: set[str] = set()

    def seen(self, name: str, folder: Path) -> None:
        self.seen_first.append(name)

    def found(self, name: str, folder: Path, state: str) -> "Future[Found]":
        self.events.append(("found", name))
        outcome: Future[Found] = Future()
        is_whole = (folder / WEIGHTS_FILE).is_file()
        became = Found.AGAIN if name in self.passing else Found.BAD
        outcome.set_result(Found.GOOD if is_whole else became)
        return outcome

    def gone(self, name: str) -> None:
        self.events.append(("gone", name))


class Clock:
    """Stands still at the files' time until it is moved."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Disk:
    """The disk as the watch sees it: what is `broken` raises, what is `dead` waits, and
    what is `unlisted` is there, but not what is in it."""

    def __init__(self) -> None:
        self.broken: dict[Path, int] = {}
        self.unlisted: dict[Path, int] = {}
        self.dead: set[Path] = set()
        self.gate = threading.Event()

    def _meet(self, path: Path) -> None:
        for place in (path, path.parent):
            if place in self.broken:
                raise OSError(self.broken[place], os.strerror(self.broken[place]))
            if place in self.dead:
                assert self.gate.wait(20)

    def stat(self, path: Path) -> os.stat_result:
        self._meet(path)
        return os.stat(path)

    def listdir(self, path: Path) -> list[str]:
        if path in self.unlisted:
            raise OSError(self.unlisted[path], os.strerror(self.unlisted[path]))
        if path in self.broken or path in self.dead:
            self._meet(path)
        return os.listdir(path)


def watch_on(
    directory: Path,
    shelf: Shelf,
    clock: Callable[[], float] = time.time,
    *,
    quiet_s: float = QUIET_S,
    polling: bool = True,
    **settings: Any,
) -> Watch:
    return Watch(
        directory,
        quiet_s=quiet_s,
        seen=shelf.seen,
        found=shelf.found,
        gone=shelf.gone,
        clock=clock,
        polling=polling,
        **settings,
    )


@contextmanager
def running(watch: Watch) -> Iterator[Watch]:
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def settle(watch: Watch, clock: Clock) -> None:
    """Look, and again when everything has rested."""
    clock.ahead = 0
    watch.look()
    clock.ahead = QUIET_S + 1
    assert not watch.look(), "still restless"
