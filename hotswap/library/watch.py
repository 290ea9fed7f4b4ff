"""Watch: the adapters directory -> which folders came, changed and went.

Events only wake the watcher; what it acts on is a scan of the whole directory, which it
also makes every few seconds, so a missed or doubled event changes nothing. A folder is
acted on once it rests: no file of it has changed for `quiet_s`, by the files' own times
(so a whole folder that is renamed into place is taken at once) or by two scans (where
clocks disagree). A folder that is refused again and again has to rest twice as long
each time.

What cannot be looked at stays as it was, and is a `trouble`. The directory is watched
by its path: while that leads nowhere, or somewhere else, who is missing is missed only
after `GRACE_S` - a deploy or a mount may be under way.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler

from hotswap.library.entries import Found
from hotswap.library.library import START_S
from hotswap.library.looks import Fingerprint, Identity, Looker, stamp
from hotswap.library.observing import Observing
from hotswap.outside import said

log = logging.getLogger(__name__)

GRACE_S = 30.0
# A storm of events while files are copied must not become a storm of scans.
_PAUSE_S = 0.02
_PAUSE_SCANS = 4  # and as many times as long as a scan took
_MOST_REFUSALS = 5
_LOOK_S = 1.0  # at the directory itself, and at all of it without events or in trouble
_SCAN_LOOKS = 10  # after so many at all of it, whatever the events say
_PATIENCE_S = 5.0


class Watch(FileSystemEventHandler):
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
        patience_s: float = _PATIENCE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`seen` gets name and folder as soon as it is there; `found` those and the
        state of its files, once it rests. `moved`: the directory is another one now.
        `polling`: for file systems that send no events. `patience_s`: how long the disk
        may take to answer. `clock`: seconds as files have them."""
        self._directory = directory
        self._quiet_s = quiet_s
        self._looker = Looker(directory, patience_s)
        self._clock = clock
        self._seen = seen
        self._found = found
        self._gone = gone
        self._moved = moved
        self._known: set[str] = set()  # those that `seen` was told of
        self._acted_on: dict[str, Fingerprint] = {}
        self._last: dict[str, Fingerprint] = {}
        self._changed_at: dict[str, float] = {}  # as seen, of restless folders
        self._outcomes: dict[str, Future[Found]] = {}  # of what was found last
        self._refusals: dict[str, int] = {}
        self._again_at: dict[str, float] = {}  # of those that could not be read
        self._identity: Identity | None = None
        self._unsettled_at: float | None = None  # since the path led somewhere else
        self._scan_s = 0.0
        self._trouble: tuple[str, ...] = ()
        self._bugs: set[str] = set()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._observing = Observing(self, polling=polling, patience_s=patience_s)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Act on what is there already; then follow changes. Returns when that has been
        read, or after a while."""
        self._try_to_look(at_once=True)
        self._woken.set()  # something may have changed before the observer looked
        self._thread.start()
        wait(list(self._outcomes.values()), START_S)

    def stop(self) -> None:
        """Waits for no file."""
        self._stopping.set()
        self._woken.set()
        self._observing.stop()
        self._thread.join(1.0)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def trouble(self) -> tuple[str, ...]:
        """What could not be looked at last time, in a line each. For any thread."""
        return self._trouble

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._woken.set()

    def look(self, *, at_once: bool = False) -> bool:
        """Act on every folder that rests and on those that are gone. Returns whether
        one is still restless. `at_once`: as if all rested."""
        start = time.monotonic()
        try:
            now_there = self._looker.scan()
        except OSError as error:
            self._tell([f"the adapters directory: {error.strerror or error}"])
            return True
        finally:
            self._scan_s = time.monotonic() - start
        now = self._clock()
        self._settle(now_there.identity, now)
        self._hear(now)
        # Whoever cannot be looked at is as before; one that is new may say why itself.
        before = {name: self._acted_on.get(name, ()) for name in now_there.troubles}
        folders = {**now_there.folders, **before}
        is_missing = self._part(folders, now)
        restless = False
        for name, fingerprint in sorted(folders.items()):
            is_due = self._again_at.get(name, now + 1) <= now
            if fingerprint == self._acted_on.get(name) and not is_due:
                continue
            if fingerprint != self._last.get(name):
                self._changed_at[name] = now
            if at_once or is_due or self._rests(name, fingerprint, now):
                self._act_on(name, fingerprint)
            else:
                restless = True
                if name not in self._known:
                    self._seen(name, self._directory / name)
            self._known.add(name)
            if self._stopping.is_set():
                break
        self._last = folders
        lines = [f"{n}: {why}" for n, why in sorted(now_there.troubles.items())]
        if self._identity is None:
            lines.append("the adapters directory: there is none")
        if now_there.unnamed:
            lines.append("names that are not UTF-8 are passed over")
        if is_missing:
            lines.append("adapters are missing since the adapters directory changed")
        self._tell(lines)
        return restless

    def _settle(self, identity: Identity | None, now: float) -> None:
        """Follow the path to where it leads now."""
        if identity != self._identity:
            if self._identity is not None or self._known:
                what = "is gone" if identity is None else "is another one now"
                log.warning("the adapters directory %s %s", self._directory, what)
                self._unsettled_at = now
                if identity is not None:
                    self._moved()
            self._identity = identity
        if identity is not None:
            self._observing.follow(self._directory, identity)

    def _part(self, folders: dict[str, Fingerprint], now: float) -> bool:
        """With those that are gone. Returns whether some are only missing yet."""
        missing = self._known - folders.keys()
        if self._unsettled_at is not None:
            if missing and now - self._unsettled_at < GRACE_S:
                return True
            if self._identity is not None:
                self._unsettled_at = None
        for name in sorted(missing):
            self._known.discard(name)
            self._acted_on.pop(name, None)
            self._changed_at.pop(name, None)
            self._refusals.pop(name, None)
            self._again_at.pop(name, None)
            self._outcomes.pop(name, None)
            self._gone(name)
        return False

    def _rests(self, name: str, fingerprint: Fingerprint, now: float) -> bool:
        wanted = self._quiet_s * float(2 ** self._refusals.get(name, 0))
        seen_for = now - self._changed_at.get(name, now)
        newest = [max(changed, moved) for _, _, changed, moved, _ in fingerprint]
        age = now - max(newest) / 1e9 if newest else 0.0
        return max(seen_for, age) >= wanted

    def _act_on(self, name: str, fingerprint: Fingerprint) -> None:
        outcome = self._found(name, self._directory / name, stamp(fingerprint))
        self._outcomes[name] = outcome
        self._acted_on[name] = fingerprint
        self._changed_at.pop(name, None)
        self._again_at.pop(name, None)

    def _hear(self, now: float) -> None:
        """What became of what was found."""
        for name, outcome in list(self._outcomes.items()):
            if not outcome.done():
                continue
            del self._outcomes[name]
            is_told = not outcome.cancelled() and outcome.exception() is None
            became = outcome.result() if is_told else Found.BAD
            if became is Found.GOOD:
                self._refusals.pop(name, None)
                continue
            refusals = min(self._refusals.get(name, 0) + 1, _MOST_REFUSALS)
            self._refusals[name] = refusals
            if became is Found.AGAIN:
                self._again_at[name] = now + _LOOK_S * 2**refusals

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
            is_due = restless or bool(self._trouble) or bool(self._again_at)
            is_due |= not self._observing.is_told or looks % _SCAN_LOOKS == 0
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
            return self._looker.identify() != self._identity
        except OSError:
            return True  # the look will tell
