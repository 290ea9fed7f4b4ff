"""Progress: how far something long has come, for whoever waits for it.

On a terminal one line that is written anew, elsewhere a line of the log now and then.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

log = logging.getLogger(__name__)

_WIDTH = 30
_EVERY_S = {True: 0.2, False: 10.0}  # on a terminal, elsewhere


@contextmanager
def progress(
    what: str,
    total: int,
    clock: Callable[[], float],
    stream: TextIO = sys.stderr,
) -> Iterator[Callable[[int], None]]:
    """Call what it gives with how much of `total` is done, as often as you like."""
    is_terminal = stream.isatty()
    told = clock()

    def tell(done: int) -> None:
        nonlocal told
        now = clock()
        if now - told < _EVERY_S[is_terminal]:
            return
        told = now
        if is_terminal:
            bar = "#" * (_WIDTH * done // total)
            stream.write(f"\r{what} [{bar:{_WIDTH}}]")
            stream.flush()
        else:
            log.info("%s %d %%", what, 100 * done // total)

    try:
        yield tell
    finally:
        if is_terminal:
            stream.write("\r\x1b[K")
            stream.flush()
