"""Download: files of a remote folder to the disk, bounded and resumed.

What is there already of a file is not asked for again: a connection that breaks off
costs what was on its way. More than was announced is not written.
"""

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from hotswap.errors import AdapterRefused
from hotswap.short_thread import at_disk
from hotswap.sources.location import Location
from hotswap.sources.remote import PATIENCE_S, Remote, RemoteFile, away, changed

_TRIES = 5  # without as many bytes as `_LEAST` in between
PAUSE_S = 0.25  # twice as long each time
_LEAST = 1 << 16  # bytes in each `patience_s`: fewer are as good as none
_PART = 1 << 22


def cancelled(location: Location) -> AdapterRefused:
    return AdapterRefused("cancelled", f"{location.plain} is not fetched any more")


def download(
    remote: Remote,
    location: Location,
    files: Iterable[RemoteFile],
    folder: Path,
    *,
    stop: threading.Event,
    patience_s: float = PATIENCE_S,
) -> None:
    """All of them, whole, flushed to the disk. `stop`: nobody wants them any more.

    Raises AdapterRefused, with what has come left in `folder`, and OSError.
    """
    for file in files:
        to = folder / file.name
        tries, had = 0, -1
        while (have := _size(to)) != file.size or tries == 0:
            tries = 1 if had < 0 or have - had >= _LEAST else tries + 1
            had = have
            try:
                _receive(remote, location, file, to, stop=stop, patience_s=patience_s)
                _check(location, file, to)
            except AdapterRefused as fault:
                if not fault.is_passing or tries >= _TRIES or fault.code == "changing":
                    raise
                if stop.wait(PAUSE_S * 2**tries):
                    raise cancelled(location) from None


def _receive(
    remote: Remote,
    location: Location,
    file: RemoteFile,
    to: Path,
    *,
    stop: threading.Event,
    patience_s: float,
) -> None:
    """What is missing of one file."""
    have = _size(to)
    if have > file.size:
        to.unlink()
        have = 0
    with to.open("ab") as out:
        if have < file.size:
            with closing(remote.read(location, file, have)) as parts:
                for part in _watched(parts, location, stop, patience_s):
                    have += len(part)
                    if have > file.size:
                        raise _exaggerated(location, file)
                    with at_disk():
                        out.write(part)
        out.flush()
        os.fsync(out.fileno())  # may take long, and the disk is no dead one
    if have < file.size:
        raise away(
            location, f"{file.name} breaks off after {have} of {file.size} bytes"
        )


def _check(location: Location, file: RemoteFile, to: Path) -> None:
    """Raises AdapterRefused, with the file away, if it is not what was announced."""
    if file.sha256 and digest_of(to) != file.sha256:
        to.unlink()
        raise changed(location, file.name)


def _watched(
    parts: Iterator[bytes], location: Location, stop: threading.Event, patience_s: float
) -> Iterator[bytes]:
    """The same, as long as somebody wants them and enough come."""
    since, come = time.monotonic(), 0
    for part in parts:
        if stop.is_set():
            raise cancelled(location)
        yield part
        come += len(part)
        if time.monotonic() - since >= patience_s:
            if come < _LEAST:
                raise away(location, f"less than {_LEAST} bytes in {patience_s:g} s")
            since, come = time.monotonic(), 0


def _exaggerated(location: Location, file: RemoteFile) -> AdapterRefused:
    text = f"{file.name} has more than the {file.size} bytes that were announced"
    return AdapterRefused("too_large", f"{location.plain}: {text}")


def digest_of(file: Path) -> str:
    """SHA-256, in hex."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while part := _part(opened):
            digest.update(part)
    return digest.hexdigest()


def _part(file: BinaryIO) -> bytes:
    with at_disk():  # of each part alone: a large file is no dead disk
        return file.read(_PART)


def _size(file: Path) -> int:
    with at_disk():
        return file.stat().st_size if file.exists() else 0
