"""Follower: the thread that does here what the shared files say, and tells when it has.

It looks at the journal and the endpoints again and again: there are file systems that
send no events. What goes wrong takes nothing back and is tried again.
"""

import logging
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from hotswap.error_boundary import said
from hotswap.library.journal import Note
from hotswap.library.library import Library
from hotswap.library.shared_journal import SharedJournal
from hotswap.sharing.members import Members, Row, Told
from hotswap.sharing.shared_file import SharedFile

log = logging.getLogger(__name__)

_EVERY_S = 0.05
_PATIENCE_S = 60.0  # for what is read because of a change; then it is told as it is
_MOST_NAMES = 1000  # whose rows are told, those that were changed last


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
        self._asked: list[Future[Told]] = []
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
        self._asked.append(future)
        self._note(names)
        self._woken.set()
        return future

    def look(self) -> Told:
        """Do as the files say, and tell of it if there is news. Raises OSError."""
        while True:
            files = self._files()
            last = self._told.files if self._told else (None, None)
            if files[1] != last[1]:
                self._server.reload()
            if files[0] == last[0] or self._follow():
                break
        self._server.settled().result(_PATIENCE_S)
        rows = {name: self._server.row(name) for name in list(self._names)}
        told = Told(files=files, rows=rows)
        if told != self._told:
            self._members.tell(told)
            self._told = told
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
        while not self._stopping.is_set():
            self._woken.clear()
            asked, self._asked = self._asked, []
            try:
                told = self.look()
            except BaseException as error:
                trouble = (f"the servers' files: {said(error)}",)
                if trouble != self.trouble:
                    log.exception("the follower goes on")
                self.trouble = trouble
                self._asked += asked
            else:
                self.trouble = ()
                for future in asked:
                    future.set_result(told)
            self._woken.wait(_EVERY_S)


def _is(journal: SharedJournal, writes: int) -> bool:
    """Whether this server has not written it since."""
    return journal.writes == writes
