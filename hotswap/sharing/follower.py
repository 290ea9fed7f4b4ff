"""Follower: the thread that does here what the shared files say, and tells when it has.

It looks at the journal and the endpoints again and again: there are file systems that
send no events. What goes wrong takes nothing back and is tried again.
"""

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from hotswap.error_boundary import said
from hotswap.errors import Stopping
from hotswap.library.journal import Note
from hotswap.library.library import Library
from hotswap.library.shared_journal import SharedJournal
from hotswap.sharing.members import Members, Row, Told
from hotswap.sharing.shared_file import SharedFile

log = logging.getLogger(__name__)

_EVERY_S = 0.05
_LOOKS = 20  # after so many rows are told as they are now, whatever was changed
_PATIENCE_S = 60.0  # for what is read because of a change; then it is told as it is
_MOST_NAMES = 1000  # whose rows are told, those that were changed last


Asked = tuple[tuple[str, ...], Future[Told]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """`row`: how this server answers for a name now. `settled`: done when that shows
    what the library has done. `reload`: the endpoints."""

    library: Library
    journal: SharedJournal
    row: Callable[[str], Row]
    settled: "Callable[[], Future[None]]"
    reload: Callable[[], None]


class Follower:
    def __init__(
        self, server: Followed, members: Members, *, journal: Path, endpoints: Path
    ) -> None:
        """`journal`, `endpoints`: the shared files."""
        self._server, self._members = server, members
        self._journal, self._endpoints = SharedFile(journal), SharedFile(endpoints)
        self._names: dict[str, None] = {}  # in the order of their last changes
        self._asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._looks = 0
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._told: Told | None = None
        self.trouble: tuple[str, ...] = ()  # for any thread

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()
        self._thread.join(1.0)

    def caught_up(self, *names: str) -> "Future[Told]":
        """From any thread: what is told when all that the files say as of now is done
        here; of `names`, too."""
        future: Future[Told] = Future()
        self._asked.put((names, future))
        self._woken.set()
        return future

    def _look(self, *, is_asked: bool) -> Told:
        """Do as the files say, and tell of it if there is news. Raises OSError, or
        Stopping."""
        self._looks += 1
        while not self._stopping.is_set():
            files = self._files()
            last = self._told.files if self._told else (None, None)
            if files[1] != last[1]:
                self._server.reload()
            if files[0] == last[0] or self._follow():
                is_old = self._looks % _LOOKS == 0
                if self._told is None or files != last or is_asked or is_old:
                    self._told = self._tell(files)
                return self._told
        raise Stopping

    def _tell(self, files: tuple[str, str]) -> Told:
        self._server.settled().result(_PATIENCE_S)
        rows = {name: self._server.row(name) for name in self._names}
        told = Told(files=files, rows=rows)
        if told != self._told:
            self._members.tell(told)
        return told

    def _files(self) -> tuple[str, str]:
        return self._journal.look().digest, self._endpoints.look().digest

    def _follow(self) -> bool:
        """Whether all of the journal is done; if not, it is to be read again."""
        journal = self._server.journal
        writes = journal.writes
        notes = msgspec.json.decode(self._journal.look().raw, type=dict[str, Note])
        current = partial(_is, journal, writes)
        asked = self._server.library.follow(notes, current).result(_PATIENCE_S)
        if asked:
            self._note(asked)
            wait(asked.values(), _PATIENCE_S)
        return asked is not None and not asked

    def _note(self, names: Collection[str]) -> None:
        for name in names:
            self._names.pop(name, None)
            self._names[name] = None
        while len(self._names) > _MOST_NAMES:
            self._names.pop(next(iter(self._names)))

    def _run(self) -> None:
        waiting: list[Future[Told]] = []
        try:
            while not self._stopping.is_set():
                self._woken.clear()
                waiting += self._newly_asked()
                if (told := self._try_to_look(is_asked=bool(waiting))) is not None:
                    while waiting:
                        _answer(waiting.pop(), told)
                self._woken.wait(_EVERY_S)
        finally:
            for future in (*waiting, *self._newly_asked()):
                _answer(future, Stopping())

    def _newly_asked(self) -> Iterator["Future[Told]"]:
        while not self._asked.empty():
            names, future = self._asked.get()
            self._note(names)
            yield future

    def _try_to_look(self, *, is_asked: bool) -> Told | None:
        """`_look`; None if it went wrong, which is tried again."""
        try:
            told = self._look(is_asked=is_asked)
        except Stopping:
            return None
        except BaseException as error:
            trouble = (f"the servers' files: {said(error)}",)
            if trouble != self.trouble:
                log.exception("the follower goes on")
            self.trouble = trouble
            return None
        self.trouble = ()
        return told


def _answer(future: "Future[Told]", told: Told | Stopping) -> None:
    """Whoever asked may have left."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(told, Stopping):
        future.set_exception(told)
    else:
        future.set_result(told)


def _is(journal: SharedJournal, writes: int) -> bool:
    """Whether this server has not written it since."""
    return journal.writes == writes
