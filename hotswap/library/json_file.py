"""JSON file: a small record beside the adapters, read at the start and replaced whole.

It is written beside its name, flushed to the disk and renamed, so that a crash at any
moment leaves the old content or the new one.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hotswap.adapters.files import read_file
from hotswap.errors import AdapterRefused, StartFailed
from hotswap.short_thread import at_disk

_MOST_BYTES = 1 << 28

T = TypeVar("T")


def read_json(path: Path, kind: type[T], what: str) -> T | None:
    """None if there is no such file. Raises StartFailed, which says `what` is broken,
    for one that cannot be read."""
    try:
        raw = read_file(path.parent, path.name, _MOST_BYTES, code=f"no_{what}")
        return None if raw is None else msgspec.json.decode(raw, type=kind)
    except (AdapterRefused, msgspec.MsgspecError) as error:
        raise StartFailed(f"{what} {path}: {error}") from None


def write_json(path: Path, value: Any) -> None:
    """Replace a file by `value` as JSON, atomically and durably. Raises OSError."""
    with at_disk():
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _replace(path, value)
            os.fsync(folder)  # the rename itself
        finally:
            os.close(folder)


def _replace(path: Path, value: Any) -> None:
    handle, beside = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
