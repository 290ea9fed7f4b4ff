"""Watch: the adapters directory -> what to adopt, refuse and retire.

Events only wake the watcher; what it acts on is a scan of the whole directory, so a
missed or doubled event changes nothing. A folder is read once two scans, `quiet_s`
apart, have seen the same files in it: a folder that is still being copied waits.
"""

import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from hotswap.adapters.checkpoint import Layout, read
from hotswap.adapters.deltas import Generation
from hotswap.errand import errand
from hotswap.errors import AdapterRefused

log = logging.getLogger(__name__)

Fingerprint = tuple[tuple[str, int, int, int], ...]


def scan(directory: Path) -> dict[str, Fingerprint]:
    """Name, size, time and inode of every file in each adapter folder.

    An entry that cannot be looked at (just removed, a link that leads nowhere) is as
    good as absent; the others are not its concern.
    """
    found: dict[str, Fingerprint] = {}
    for folder in _entries(directory):
        if folder.name.startswith(".") or _stat(folder, stat.S_ISDIR) is None:
            continue
        files = [(e.name, _stat(e, stat.S_ISREG)) for e in _entries(Path(folder))]
        found[folder.name] = tuple(
            sorted((n, s.st_size, s.st_mtime_ns, s.st_ino) for n, s in files if s)
        )
    return found


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(directory))
    except OSError:
        return []


def _stat(
    entry: os.DirEntry[str], is_kind: Callable[[int], bool]
) -> os.stat_result | None:
    """What the entry, or the target of the link, is like; None if of another kind."""
    try:
        found = entry.stat()
    except OSError:
        return None
    return found if is_kind(found.st_mode) else None


class Watch(FileSystemEventHandler):
    """Reads folders on its own thread. The three callbacks are called there."""

    def __init__(
        self,
        directory: Path,
        layout: Layout,
        *,
        quiet_s: float,
        adopt: Callable[[str, Generation], None],
        refuse: Callable[[str, str], None],
        retire: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._layout = layout
        self._quiet_s = quiet_s
        self._adopt = adopt
        self._refuse = refuse
        self._retire = retire
        self._acted_on: dict[str, Fingerprint] = {}
        self._last: dict[str, Fingerprint] = {}
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._observer = Observer()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Read what is there already, before returning; then follow changes."""
        self._last = scan(self._directory)
        self._observer.schedule(self, str(self._directory), recursive=True)
        self._observer.start()
        for name, fingerprint in sorted(self._last.items()):
            self._read(name, fingerprint)
        self._woken.set()  # something may have changed before the observer looked
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()
        self._observer.stop()
        self._observer.join()
        self._thread.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Our own reading is reported as well, and must not wake us.
        if event.event_type not in ("opened", "closed_no_write"):
            self._woken.set()

    def look(self) -> bool:
        """Act on every folder that has not changed since the last look, and on those
        that are gone. Returns whether some folder is still restless."""
        now = scan(self._directory)
        for name in sorted(self._acted_on.keys() - now.keys()):
            del self._acted_on[name]
            self._retire(name)
        restless = False
        for name, fingerprint in sorted(now.items()):
            if fingerprint == self._acted_on.get(name):
                continue
            if fingerprint == self._last.get(name):
                self._read(name, fingerprint)
            else:
                restless = True
        self._last = now
        return restless

    def _read(self, name: str, fingerprint: Fingerprint) -> None:
        self._acted_on[name] = fingerprint
        try:
            generation = errand(lambda: read(self._directory / name, self._layout))
        except AdapterRefused as error:
            self._refuse(name, error.reason)
        except Exception as error:
            # Whatever a stranger's files do to a parser, the others are served.
            log.exception("adapter name=%s could not be read", name)
            self._refuse(name, f"{type(error).__name__}: {error}")
        else:
            self._adopt(name, generation)

    def _run(self) -> None:
        restless = True
        while not self._stopping.is_set():
            if not restless:
                self._woken.wait()
            self._woken.clear()
            if self._stopping.wait(self._quiet_s):
                return
            try:
                restless = self.look()
            except OSError:
                log.exception("cannot look at %s", self._directory)
                restless = True
