"""Watch: the adapters directory -> which folders came, changed and went.

Events only wake the watcher; what it acts on is a scan of the whole directory, so a
missed or doubled event changes nothing. A folder is acted on once it rests: no file of
it has changed for `quiet_s`, by the files' own times (so a whole folder that is renamed
into place is taken at once) or by two scans (where clocks disagree). A folder that is
refused again and again has to rest twice as long each time.
"""

import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

log = logging.getLogger(__name__)

# Size, times of content and of inode, and inode of a file, by name
Fingerprint = tuple[tuple[str, int, int, int, int], ...]
# A storm of events while files are copied must not become a storm of scans.
_PAUSE_S = 0.02
_PAUSE_SCANS = 4  # and as many times as long as a scan took
_MOST_REFUSALS = 5


def scan(directory: Path) -> dict[str, Fingerprint]:
    """What every file in each adapter folder is like.

    An entry that cannot be looked at (just removed, a link that leads nowhere) is as
    good as absent; the others are not its concern.
    """
    found: dict[str, Fingerprint] = {}
    for folder in _entries(directory):
        if folder.name.startswith(".") or _stat(folder, stat.S_ISDIR) is None:
            continue
        files = [(e.name, _stat(e, stat.S_ISREG)) for e in _entries(Path(folder))]
        found[folder.name] = tuple(
            sorted(
                (n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
                for n, s in files
                if s
            )
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
    """Looks on its own thread. `found` and `gone` are called there, one at a time."""

    def __init__(
        self,
        directory: Path,
        *,
        quiet_s: float,
        found: Callable[[str, Path, str], bool],
        gone: Callable[[str], None],
        polling: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`found` gets name, folder and the state of its files, and says whether the
        folder is good. `polling`: for file systems that send no events. `clock`:
        seconds as files have them."""
        self._directory = directory
        self._quiet_s = quiet_s
        self._clock = clock
        self._found = found
        self._gone = gone
        self._acted_on: dict[str, Fingerprint] = {}
        self._last: dict[str, Fingerprint] = {}
        self._changed_at: dict[str, float] = {}  # as seen, of restless folders
        self._refusals: dict[str, int] = {}
        self._scan_s = 0.0
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._make_observer = PollingObserver if polling else Observer
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Act on what is there already, before returning; then follow changes."""
        self._last = scan(self._directory)
        self._observer = self._make_observer()  # takes an inotify instance
        self._observer.schedule(self, str(self._directory), recursive=True)
        self._observer.start()
        for name, fingerprint in sorted(self._last.items()):
            self._act_on(name, fingerprint)
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
        """Act on every folder that rests and on those that are gone. Returns whether
        some folder is still restless."""
        start = time.monotonic()
        found, now = scan(self._directory), self._clock()
        self._scan_s = time.monotonic() - start
        for name in sorted(self._acted_on.keys() - found.keys()):
            del self._acted_on[name]
            self._refusals.pop(name, None)
            self._gone(name)
        restless = False
        for name, fingerprint in sorted(found.items()):
            if fingerprint == self._acted_on.get(name):
                continue
            if fingerprint != self._last.get(name):
                self._changed_at[name] = now
            if self._rests(name, fingerprint, now):
                self._act_on(name, fingerprint)
            else:
                restless = True
            if self._stopping.is_set():
                break
        self._last = found
        return restless

    def _rests(self, name: str, fingerprint: Fingerprint, now: float) -> bool:
        wanted = self._quiet_s * float(2 ** self._refusals.get(name, 0))
        seen_for = now - self._changed_at.get(name, now)
        newest = [max(changed, moved) for _, _, changed, moved, _ in fingerprint]
        age = now - max(newest) / 1e9 if newest else 0.0
        return max(seen_for, age) >= wanted

    def _act_on(self, name: str, fingerprint: Fingerprint) -> None:
        self._acted_on[name] = fingerprint
        self._changed_at.pop(name, None)
        state = hashlib.sha256(repr(fingerprint).encode()).hexdigest()[:16]
        if self._found(name, self._directory / name, state):
            self._refusals.pop(name, None)
        else:
            refusals = self._refusals.get(name, 0) + 1
            self._refusals[name] = min(refusals, _MOST_REFUSALS)

    def _run(self) -> None:
        restless = True
        while not self._stopping.is_set():
            self._woken.wait(self._quiet_s if restless else None)
            self._woken.clear()
            try:
                restless = self.look()
            except OSError:
                log.exception("cannot look at %s", self._directory)
                restless = True
            self._stopping.wait(max(_PAUSE_S, _PAUSE_SCANS * self._scan_s))
