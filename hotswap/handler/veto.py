"""Veto: what the operator's code raises, as errors of ours that their routes answer."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from hotswap.errors import HotswapError, NoRoom, Vetoed
from hotswap.handler.calls import Overtime

log = logging.getLogger(__name__)

# By name, as DJL does: torch has one of its own.
_NO_MEMORY = ("MemoryError", "OutOfMemoryError")


@contextmanager
def vetoing(function: str) -> Iterator[None]:
    """Raise whatever is raised inside as Vetoed or NoRoom, `sys.exit` too. Our own
    errors pass: the model's, where the code has asked it."""
    try:
        yield
    except (HotswapError, Overtime, GeneratorExit, asyncio.CancelledError):
        raise
    except BaseException as error:
        text = str(error)
        if type(error).__name__ in _NO_MEMORY or "CUDA error: out of memory" in text:
            raise NoRoom(text or f"{function} says that there is no room") from None
        # A veto, or a bug of the module: the log tells them apart.
        log.warning("hook function=%s raised", function, exc_info=error)
        raise Vetoed(text or f"{function}: {type(error).__name__}") from None
