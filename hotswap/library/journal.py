"""Journal: what was registered over HTTP, so that it comes back after a restart.

One small JSON file. What a client asks for is refused if it cannot be written down;
what happens to a folder happens all the same, and is kept in memory until it can.
"""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from hotswap.adapters.origin import Origin
from hotswap.errors import NotKept
from hotswap.library.json_file import read_json, write_json
from hotswap.short_thread import ShortThread

log = logging.getLogger(__name__)

JOURNAL_FILE = ".hotswap.json"


class Note(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of one name.

    `origin`: what was asked for it; for a folder of the adapters directory only if it
    differs from the defaults. `gone`: the state of such a folder that somebody
    unregistered, or took the name of; it stays away until its files change. `change`:
    where several servers share the journal, which registration it is; another one means
    that files are to be read again.
    """

    origin: Origin | None = None
    gone: str | None = None
    change: str | None = None


def note_of(origin: Origin, passed_over: str | None = None) -> Note | None:
    """What to keep of it: nothing of a folder with which nothing was done.
    `passed_over`: the state of the folder whose name a registered one has taken."""
    if origin == Origin(src=origin.src, is_watched=True):
        return None
    return Note(origin=origin, gone=None if origin.is_watched else passed_over)


class Journal:
    """Owned by the library's thread. `path` None keeps nothing."""

    def __init__(self, path: Path | None, *, disk_patience_s: float = 15.0) -> None:
        """`disk_patience_s`: how long the disk may take to answer. Raises StartFailed
        if there is a journal that cannot be read."""
        noted = None if path is None else read_json(path, dict[str, Note], "journal")
        self._path = path
        self._disk_patience_s = disk_patience_s
        self._notes = noted or {}
        # None: unknown, or not all of it
        self._written: dict[str, Note] | None = self._notes
        self._writing: ShortThread[None] | None = None  # one that does not come back
        self.trouble: str | None = None  # why it is behind

    @property
    def notes(self) -> Mapping[str, Note]:
        return self._notes

    @property
    def registered(self) -> dict[str, Origin]:
        """What clients registered. Of a watched folder the watch will tell."""
        return {
            name: note.origin
            for name, note in sorted(self._notes.items())
            if note.origin is not None and not note.origin.is_watched
        }

    def write(self, name: str, note: Note | None, *, is_anew: bool = False) -> None:
        """Note something of `name`, or forget it. On the disk when this returns.
        `is_anew`: its files were read for it, which other servers have to do as well.

        Raises NotKept with nothing changed.
        """
        try:
            self._put(self._with(name, note))
        except OSError as error:
            reason = error.strerror or str(error)
            raise NotKept(f"journal {JOURNAL_FILE}: {reason}") from error

    def keep(self, name: str, note: Note | None) -> None:
        """The same for what has happened already: written now, or when it can be."""
        self.take(name, note)
        self.catch_up()

    def take(self, name: str, note: Note | None) -> None:
        """In memory."""
        self._notes = self._with(name, note)

    def catch_up(self) -> None:
        """Write what could not be written before."""
        try:
            self._put(self._notes)
        except OSError as error:
            trouble = f"the journal cannot be written: {error.strerror or error}"
            if trouble != self.trouble:
                log.error("%s; it is tried again journal=%s", trouble, self._path)
            self.trouble = trouble

    def moved(self) -> None:
        """Its directory is another one now: all of it has to be written there."""
        if self._notes:
            self._written = None
            self.catch_up()

    @property
    def is_behind(self) -> bool:
        return self._notes is not self._written

    def _with(self, name: str, note: Note | None) -> dict[str, Note]:
        notes = {key: value for key, value in self._notes.items() if key != name}
        return notes if note is None else {**notes, name: note}

    def _put(self, notes: dict[str, Note]) -> None:
        if self._path is not None and notes != self._written:
            if self._writing is not None and not self._writing.future.done():
                raise TimeoutError("the disk does not answer")
            self._written = None  # whatever is there if this fails
            work = partial(write_json, self._path, msgspec.to_builtins(notes))
            self._writing = ShortThread(work)
            if not self._writing.wait(self._disk_patience_s):
                raise TimeoutError("the disk does not answer")
            self._writing.future.result()
        self._notes = self._written = notes
        if self.trouble is not None:
            log.info("the journal is written again journal=%s", self._path)
        self.trouble = None
