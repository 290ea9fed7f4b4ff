"""Lock: one server for each adapters directory.

Two would write one journal, and what one unregisters the other would go on serving.
The lock is on the directory itself, so nothing is written into it, and it ends with the
process, however that ends.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotswap.errors import StartFailed

log = logging.getLogger(__name__)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Raises StartFailed if another server has the directory. A file system without
    locks goes without."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise StartFailed(f"adapters directory {directory}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartFailed(
                f"adapters directory {directory}: another server watches it"
            ) from None
        except OSError as error:
            log.debug("adapters directory %s is not locked: %s", directory, error)
        yield
    finally:
        os.close(handle)
