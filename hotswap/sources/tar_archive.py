"""Tar archive: a stranger's archive on the disk, taken apart into files.

Every member is looked at before anything of it is written. A link, a device, a path
that leads out or a file that claims holes ends it: nobody who means well packs those.
What is not wanted is passed over. It is unpacked in two steps, so that neither a
gzip that blows up nor a header that claims to be huge costs more than is allowed.
"""

import gzip
import io
import os
import tarfile
import threading
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from hotswap.errors import AdapterRefused
from hotswap.short_thread import at_disk
from hotswap.sources.download import cancelled
from hotswap.sources.location import Location
from hotswap.sources.wanted_files import MOST_FILES, check_size, is_wanted, too_large

_PART = 1 << 20
_GZIP = b"\x1f\x8b"
_MOST_MEMBERS = 20 * MOST_FILES


class _Headers(io.FileIO):
    """A file that gives out no more at once than any header of an archive needs."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _PART:
            raise tarfile.ReadError("a header claims to be huge")
        return super().read(size) or b""


def unpack(
    archive: Path,
    folder: Path,
    location: Location,
    *,
    most_bytes: int,
    key: str,
    stop: threading.Event,
) -> None:
    """The wanted files of the folder that is packed, into `folder`; the archive is away
    then. `key`: the setting that says `most_bytes`. Raises AdapterRefused, OSError."""
    try:
        plain = _inflated(archive, location, most_bytes, key, stop)
        with _Headers(plain) as file, tarfile.open(fileobj=file, mode="r:") as packed:
            members = _members(packed, location, most_bytes, key)
            for name, member in members.items():
                source = packed.extractfile(member)
                assert source is not None, name
                with (folder / name).open("wb") as out:
                    _copy(source, out, location, member.size, stop)
                    out.flush()
                    os.fsync(out.fileno())
        plain.unlink()
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        archive.unlink(missing_ok=True)
        raise _bad(
            location, f"it is no whole archive ({type(error).__name__})"
        ) from None
    except (ValueError, RecursionError, OverflowError, LookupError) as error:
        raise _bad(location, f"it cannot be read ({type(error).__name__})") from None


def _inflated(
    archive: Path, location: Location, most_bytes: int, key: str, stop: threading.Event
) -> Path:
    """The tar file itself, in the archive's place."""
    with archive.open("rb") as file:
        if file.read(len(_GZIP)) != _GZIP:
            return archive
    plain = archive.with_suffix(".plain")
    with gzip.open(archive) as source, plain.open("wb") as out:
        size = 0
        while part := source.read(_PART):
            size += len(part)
            check_size(location, size, most_bytes, key)
            if stop.is_set():
                raise cancelled(location)
            with at_disk():
                out.write(part)
    archive.unlink()
    return plain


def _members(
    packed: tarfile.TarFile, location: Location, most_bytes: int, key: str
) -> dict[str, tarfile.TarInfo]:
    """The wanted files of the packed folder, by name; a folder around all is none."""
    found: dict[PurePosixPath, tarfile.TarInfo] = {}
    count = 0
    for member in packed:
        count += 1
        if count > _MOST_MEMBERS:
            raise too_large(location, "more files", str(_MOST_MEMBERS), "")
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise _bad(location, f"{member.name[:100]!r} leads out of it")
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise _bad(location, f"{member.name[:100]!r} is a link or no plain file")
        found[path] = member
    tops = {path.parts[0] for path in found}
    inner = PurePosixPath(*tops) if len(tops) == 1 and not _at_top(found) else None
    wanted = {}
    for path, member in found.items():
        name = str(path.relative_to(inner)) if inner else str(path)
        if is_wanted(name):
            wanted[name] = member
    check_size(location, sum(m.size for m in wanted.values()), most_bytes, key)
    if not wanted or len(wanted) > MOST_FILES:
        raise _bad(location, f"{len(wanted)} of its files are such as are taken")
    return wanted


def _at_top(found: dict[PurePosixPath, tarfile.TarInfo]) -> bool:
    return any(len(path.parts) == 1 for path in found)


def _copy(
    source: IO[bytes],
    out: IO[bytes],
    location: Location,
    size: int,
    stop: threading.Event,
) -> None:
    left = size
    while left:
        part = source.read(min(left, _PART))
        if not part:
            raise tarfile.ReadError("unexpected end")
        if stop.is_set():
            raise cancelled(location)
        left -= len(part)
        with at_disk():
            out.write(part)


def _bad(location: Location, why: str) -> AdapterRefused:
    return AdapterRefused("bad_archive", f"{location.plain}: {why}")
