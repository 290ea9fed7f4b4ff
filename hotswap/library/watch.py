"""Watch: the adapters directory -> which folders came, changed and went.

Events only wake the watch; what it acts on is a look at the whole directory, which it
also takes every few seconds, so a missed or doubled event changes nothing. A folder is
acted on once it rests (`WatchedFolder`).

What cannot be looked at stays as it was, and is a `trouble`. The directory is watched
by its path: while that leads nowhere, or somewhere else, who is missing is missed only
after `GRACE_S` - a deploy or a mount may be under way.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from pathlib import Path

from hotswap.error_boundary import said
from hotswap.library.entries import Found
from hotswap.library.folder_events import FolderEvents
from hotswap.library.folder_scan import (
    Fingerprint,
    FolderScanner,
    Identity,
    Scan,
    stamp,
)
from hotswap.library.library import START_S
from hotswap.library.watched_folder import WatchedFolder

log = logging.getLogger(__name__)

GRACE_S = 30.0
# A storm of events while files are copied must not become a storm of scans.
_PAUSE_S = 0.02
_PAUSE_SCANS = 4  # and as many times as long as a scan took
_LOOK_S = 1.0  # at the directory itself, and at all of it without events or in trouble
_SCAN_LOOKS = 10  # after so many at all of it, whatever the events say
_DISK_PATIENCE_S = 5.0


class Watch:
    """Looks on its own thread. `seen`, `found` and `gone` are called there, one at a
    time, and must not block."""

    def __init__(
        self,
        directory: Path,
        *,
        quiet_s: float,
        seen: Callable[[str, Path], None],
        found: Callable[[str, Path, str], "Future[Found]"],
        gone: Callable[[str], object],
        moved: Callable[[], None] = lambda: None,
        polling: bool = False,
        disk_patience_s: float = _DISK_PATIENCE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`seen` gets name and folder as soon as it is there; `found` those and the
        state of its files, once it rests. `moved`: the directory is another one now.
        `polling`: for file systems that send no events. `disk_patience_s`: how long the
        disk may take to answer. `clock`: seconds as files have them."""
        self._directory = directory
        self._quiet_s = quiet_s
        self._scanner = FolderScanner(directory, disk_patience_s)
        self._clock = clock
        self._seen = seen
        self._found = found
        self._gone = gone
        self._moved = moved
        self._folders: dict[str, WatchedFolder] = {}
        self._identity: Identity | None = None
        self._unsettled_at: float | None = None  # since the path led somewhere else
        self._scan_s = 0.0
        self._trouble: tuple[str, ...] = ()
        self._bugs: set[str] = set()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._events = FolderEvents(
            self._woken.set, polling=polling, disk_patience_s=disk_patience_s
        )
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Act on what is there already; then follow changes. Returns when that has been
        read, or after a while."""
        self._try_to_look(at_once=True)
        self._woken.set()  # something may have changed before the observer looked
        outcomes = [each.outcome for each in self._folders.values()]
        self._thread.start()
        wait([outcome for outcome in outcomes if outcome is not None], START_S)

    def stop(self) -> None:
        """Waits for no file."""
        self._stopping.set()
        self._woken.set()
        self._events.stop()
        self._thread.join(1.0)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def trouble(self) -> tuple[str, ...]:
        """What could not be looked at last time, in a line each. For any thread."""
        return self._trouble

    def look(self, *, at_once: bool = False) -> bool:
        """Act on every folder that rests and on those that are gone. Returns whether
        one is still restless. `at_once`: as if all rested."""
        start = time.monotonic()
        try:
            scan = self._scanner.scan()
        except OSError as error:
            self._tell([f"the adapters directory: {error.strerror or error}"])
            return True
        finally:
            self._scan_s = time.monotonic() - start
        now = self._clock()
        self._settle(scan.identity, now)
        for folder in self._folders.values():
            folder.hear(now)
        unseen = {name: self._as_before(name) for name in scan.troubles}
        there = {**scan.folders, **unseen}
        is_missing = self._part(there, now)
        restless = False
        for name, fingerprint in sorted(there.items()):
            restless |= self._look_at(name, fingerprint, now, at_once=at_once)
            if self._stopping.is_set():
                break
        self._tell(self._troubles(scan, is_missing))
        return restless

    def _as_before(self, name: str) -> Fingerprint:
        """Of one that cannot be looked at. If it is new, it may say why itself."""
        folder = self._folders.get(name)
        return () if folder is None else folder.acted_on or ()

    def _look_at(
        self, name: str, fingerprint: Fingerprint, now: float, *, at_once: bool
    ) -> bool:
        """Whether it is still restless."""
        folder = self._folders.get(name) or WatchedFolder()
        folder.see(fingerprint, now)
        is_due = folder.is_due(now)
        if not folder.is_new and not is_due:
            return False
        path = self._directory / name
        may_act = at_once or is_due or folder.rests(now, self._quiet_s)
        if may_act:
            folder.act(self._found(name, path, stamp(fingerprint)))
        elif name not in self._folders:
            self._seen(name, path)
        self._folders[name] = folder
        return not may_act

    def _settle(self, identity: Identity | None, now: float) -> None:
        """Follow the path to where it leads now."""
        if identity != self._identity:
            if self._identity is not None or self._folders:
                what = "is gone" if identity is None else "is another one now"
                log.warning("the adapters directory %s %s", self._directory, what)
                self._unsettled_at = now
                if identity is not None:
                    self._moved()
            self._identity = identity
        if identity is not None:
            self._events.follow(self._directory, identity)

    def _part(self, there: Collection[str], now: float) -> bool:
        """With those that are gone. Returns whether some are only missing yet."""
        missing = [name for name in sorted(self._folders) if name not in there]
        if self._unsettled_at is not None:
            if missing and now - self._unsettled_at < GRACE_S:
                return True
            if self._identity is not None:
                self._unsettled_at = None
        for name in missing:
            del self._folders[name]
            self._gone(name)
        return False

    def _troubles(self, scan: Scan, is_missing: bool) -> list[str]:
        lines = [f"{name}: {why}" for name, why in sorted(scan.troubles.items())]
        if self._identity is None:
            lines.append("the adapters directory: there is none")
        if scan.unnamed:
            lines.append("names that are not UTF-8 are passed over")
        if is_missing:
            lines.append("adapters are missing since the adapters directory changed")
        return lines

    def _tell(self, lines: list[str]) -> None:
        """Each trouble once when it comes, and once when it has passed."""
        for line in lines:
            if line not in self._trouble:
                log.warning("trouble with adapters, what is served stays: %s", line)
        for line in self._trouble:
            if line not in lines:
                log.info("it has passed: %s", line)
        self._trouble = tuple(lines)

    def _run(self) -> None:
        restless, looks = True, 0
        while not self._stopping.is_set():
            rest_s = min(self._quiet_s, _LOOK_S) if restless else _LOOK_S
            is_woken = self._woken.wait(rest_s)
            self._woken.clear()
            looks += 1
            is_due = restless or bool(self._trouble) or looks % _SCAN_LOOKS == 0
            is_due |= any(each.is_to_be_read_again for each in self._folders.values())
            is_due |= not self._events.is_told
            if is_woken or is_due or self._has_moved():
                restless = self._try_to_look()
                pause_s = _LOOK_S if self._trouble else _PAUSE_S
                self._stopping.wait(max(pause_s, _PAUSE_SCANS * self._scan_s))

    def _try_to_look(self, *, at_once: bool = False) -> bool:
        """`look`, whatever goes wrong; in that case it is tried again."""
        try:
            return self.look(at_once=at_once)
        except BaseException as error:
            # A bug of ours: told once, and nothing is retired because of it.
            if said(error) not in self._bugs:
                self._bugs.add(said(error))
                log.exception("the watch goes on directory=%s", self._directory)
            return True

    def _has_moved(self) -> bool:
        try:
            return self._scanner.identify() != self._identity
        except OSError:
            return True  # the look will tell
