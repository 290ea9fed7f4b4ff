"""Lock: one server for each adapters directory, or several that share it.

Two that do not know of each other would write one journal, and what one unregisters the
other would go on serving. The lock is on the directory itself, so nothing is written
into it, and it ends with the process, however that ends.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotswap.errors import StartFailed
from hotswap.short_thread import at_disk

log = logging.getLogger(__name__)


@contextmanager
def locked(directory: Path, *, is_shared: bool = False) -> Iterator[None]:
    """`is_shared`: with others that share it, and with nobody who does not. Raises
    StartFailed if another server has the directory. A file system without locks goes
    without."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise StartFailed(f"adapters directory {directory}: {error.strerror}") from None
    try:
        try:
            kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartFailed(
                f"adapters directory {directory}: another server watches it"
                + (", and does not share it" if is_shared else "")
            ) from None
        except OSError as error:
            log.debug("adapters directory %s is not locked: %s", directory, error)
        yield
    finally:
        os.close(handle)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else holds the file within. Blocks as long as somebody does. Raises
    OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with at_disk():
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def try_lock(path: Path, *, creates: bool) -> int | None:
    """A handle that holds the file until it is closed; None if another has it. Raises
    OSError."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if creates else 0)
    handle = os.open(path, flags, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        raise
    return handle
