"""Journal: what was registered over HTTP, so that it comes back after a restart.

One small JSON file, replaced whole: it is written beside its name, flushed to the disk
and renamed, so that a crash at any moment leaves the old content or the new one.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from hotswap.adapters.origin import Origin
from hotswap.errors import NotKept, StartFailed

JOURNAL_FILE = ".hotswap.json"


class Note(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of one name.

    `origin`: what was asked for it; for a folder of the adapters directory only if it
    differs from the defaults. `gone`: the state of such a folder that somebody
    unregistered, or took the name of; it stays away until its files change.
    """

    origin: Origin | None = None
    gone: str | None = None


class Journal:
    """Owned by the library's thread. `path` None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        """Raises StartFailed if there is a journal that cannot be read."""
        self._path = path
        self._notes: dict[str, Note] = {}
        if path is None or not path.exists():
            return
        try:
            self._notes = msgspec.json.decode(path.read_bytes(), type=dict[str, Note])
        except (OSError, msgspec.MsgspecError) as error:
            raise StartFailed(f"journal {path}: {error}") from None

    @property
    def notes(self) -> Mapping[str, Note]:
        return self._notes

    def write(self, name: str, note: Note | None) -> None:
        """Note something of `name`, or forget it. On the disk when this returns.

        Raises NotKept with nothing changed.
        """
        notes = {key: value for key, value in self._notes.items() if key != name}
        if note is not None:
            notes[name] = note
        if notes == self._notes:
            return
        if self._path is not None:
            try:
                write_json(self._path, msgspec.to_builtins(notes))
            except OSError as error:
                raise NotKept(f"journal {self._path}: {error.strerror}") from error
        self._notes = notes


def write_json(path: Path, value: Any) -> None:
    """Replace a file by `value` as JSON, atomically and durably. Raises OSError."""
    handle, partial = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)
