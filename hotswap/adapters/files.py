"""Files: how a stranger's file is read.

Whatever lies under the name - a pipe, a device, a socket, a link to such, 300 MB of
settings - it ends in bytes or in an error, and never in a wait that was not the disk's.
"""

import errno
import os
import re
import stat
import tempfile
from pathlib import Path

from hotswap.errors import AdapterRefused
from hotswap.short_thread import at_disk

_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC)
_CHUNK = 1 << 22  # so many bytes at once: a slow disk is seen to move


def read_file(
    folder: Path, name: str, most: int, *, code: str, key: str = ""
) -> bytes | None:
    """The file's content; None if there is none of that name.

    `most`: bytes that it may have; `key` names the setting that says so. Raises
    AdapterRefused, `code` if it is too large or no file. One that could not be read is
    passing.
    """
    try:
        return _read(folder / name, name, most, code, key)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AdapterRefused(
            code, f"{name}: {error.strerror or 'cannot be read'}", is_passing=True
        ) from None


def _read(path: Path, name: str, most: int, code: str, key: str) -> bytes:
    with at_disk():  # to open some devices is to use them
        _check_kind(path.stat(), name, code)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with at_disk():
        handle = os.open(path, flags)
    try:
        with at_disk():
            found = os.fstat(handle)
        _check_kind(found, name, code)  # it may have been swapped meanwhile
        parts: list[bytes] = []
        size = 0
        while size <= most and found.st_size <= most:
            with at_disk():
                part = os.read(handle, _CHUNK)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
    finally:
        os.close(handle)
    where = f" ({key})" if key else ""
    raise AdapterRefused(
        "too_large" if key else code,
        f"{name} has {max(size, found.st_size)} bytes; the limit is {most}{where}",
    )


def _check_kind(found: os.stat_result, name: str, code: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise AdapterRefused(code, f"{name} is no regular file")


def unreadable(error: OSError) -> AdapterRefused:
    """What a folder is refused with that cannot be looked at just now."""
    reason = error.strerror or "cannot be read"
    return AdapterRefused("unreadable", reason, is_passing=True)


def is_short(error: BaseException | None) -> bool:
    """Whether this machine lacked descriptors, memory or room on the disk, as an error
    of Python's or of a library in Rust says it, or the one that it comes from."""
    while error is not None:
        number = getattr(error, "errno", None)
        if said := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(said[1])
        if number in _SHORT:
            return True
        error = error.__cause__ or error.__context__
    return False


def without_places(text: str) -> str:
    """What a library says, less the temporary directory that it was called on."""
    place = re.escape(tempfile.gettempdir())
    return re.sub(rf"{place}/[\w.-]+/?", "", text)
