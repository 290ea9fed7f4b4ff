"""SharedJournal: the journal of several servers that share an adapters directory.

The file is the truth. What one server writes it sets in what is there then, under a
lock: a name at a time, so that nobody takes back what others have written. `notes` is
what this server has done of it so far.
"""

import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hotswap.errors import NotKept, StartFailed
from hotswap.library.journal import JOURNAL_FILE, Journal, Note
from hotswap.library.json_file import read_json, write_json
from hotswap.library.lock import held
from hotswap.short_thread import in_short_thread


class SharedJournal(Journal):
    """Owned by the library's thread. `lock`: a file that every server holds while it
    writes."""

    def __init__(
        self, path: Path, lock: Path, *, disk_patience_s: float = 15.0
    ) -> None:
        super().__init__(path, disk_patience_s=disk_patience_s)
        self._file, self._lock, self._patience_s = path, lock, disk_patience_s
        self._unwritten: dict[str, Note | None] = {}  # happened here all the same
        self.writes = 0  # begun and ended by this server; for any thread

    def write(self, name: str, note: Note | None, *, is_anew: bool = False) -> None:
        if note is not None:
            known = self._notes.get(name)
            change = uuid.uuid4().hex if is_anew else known and known.change
            note = replace(note, change=change)
        try:
            self._set({**self._unwritten, name: note})
        except OSError as error:
            reason = error.strerror or str(error)
            raise NotKept(f"journal {JOURNAL_FILE}: {reason}") from error
        self.take(name, note)

    def keep(self, name: str, note: Note | None) -> None:
        if self._notes.get(name) != note:
            self.take(name, note)
            self._unwritten[name] = note
            self.catch_up()

    def moved(self) -> None:
        """The directory that is there now says what is registered."""

    @property
    def is_behind(self) -> bool:
        return bool(self._unwritten)

    def _put(self, notes: Mapping[str, Note]) -> None:
        if self._unwritten:
            self._set(self._unwritten)
        self.trouble = None

    def _set(self, changes: Mapping[str, Note | None]) -> None:
        """Raises OSError."""
        self.writes += 1
        try:
            work = partial(_set, self._file, self._lock, changes)
            in_short_thread(work, self._patience_s)
        finally:
            self.writes += 1  # what was read in between may be of before or after
        self._unwritten = {}


def _set(path: Path, lock: Path, changes: Mapping[str, Note | None]) -> None:
    with held(lock):
        try:
            there = read_json(path, dict[str, Note], "journal") or {}
        except StartFailed as error:
            raise OSError(str(error)) from None
        notes = {**there, **changes}
        notes = {name: note for name, note in notes.items() if note is not None}
        if notes != there:
            write_json(path, msgspec.to_builtins(notes))
