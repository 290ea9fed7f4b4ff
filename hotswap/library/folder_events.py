"""Folder events: the system's events of the directory that a path leads to now.

They only save waiting: where there are none - no more watches, a mount that does not
answer - one has to look again and again.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from hotswap.library.folder_scan import Identity
from hotswap.short_thread import ShortThread

log = logging.getLogger(__name__)

# Whoever writes a file closes it; our own reading is not heard.
_HEARD: list[type[events.FileSystemEvent]] = [
    events.DirCreatedEvent,
    events.DirDeletedEvent,
    events.DirMovedEvent,
    events.FileClosedEvent,
    events.FileCreatedEvent,
    events.FileDeletedEvent,
    events.FileMovedEvent,
]


class _Handler(events.FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: events.FileSystemEvent) -> None:
        self._wake()


class FolderEvents:
    """Owned by the watch's thread; `stop` may come from another."""

    def __init__(
        self, wake: Callable[[], None], *, polling: bool, disk_patience_s: float
    ) -> None:
        """`wake`, from any thread: something has happened."""
        self._handler = _Handler(wake)
        self._is_wanted = not polling
        self._disk_patience_s = disk_patience_s
        self._identity: Identity | None = None
        self._observer: BaseObserver | None = None

    @property
    def is_told(self) -> bool:
        """Whether events come."""
        # An emitter ends when what it watches is removed.
        return self._observer is not None and all(
            emitter.is_alive() for emitter in self._observer.emitters
        )

    def follow(self, directory: Path, identity: Identity) -> None:
        """Hear of this one; nothing if it is followed already."""
        has_ended = self._observer is not None and not self.is_told
        if not self._is_wanted or (identity == self._identity and not has_ended):
            return
        self._identity = identity
        self._close()
        # It walks through the whole tree: on a dead mount for ever.
        sent = ShortThread(partial(self._observe, directory))
        try:
            if not sent.wait(self._disk_patience_s):
                raise TimeoutError("the disk does not answer")
            self._observer = sent.future.result()
        except OSError as error:
            why = error.strerror or error
            log.warning("no events from %s, it is looked at: %s", directory, why)
        if not self._is_wanted:
            self._close()

    def stop(self) -> None:
        self._is_wanted = False
        self._close()

    def _close(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join(1.0)

    def _observe(self, directory: Path) -> BaseObserver:
        observer = Observer()  # takes an inotify instance
        observer.schedule(
            self._handler, str(directory), recursive=True, event_filter=_HEARD
        )
        observer.start()
        return observer
