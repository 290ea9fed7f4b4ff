"""Error boundary: where code that strangers' data drives is called from.

Tokenizers, templates, PEFT and safetensors raise what they like when a folder or a
request is hostile; a panic of Rust's even passes by `except Exception`. Whatever it is,
it becomes an error of the adapter or the request at fault, and no thread ends of it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hotswap.errors import HotswapError


@contextmanager
def error_boundary(fault: Callable[[str], HotswapError]) -> Iterator[None]:
    """Raise whatever is raised inside as `fault(what it says)`; our own errors pass.

    For plain functions only: it would take a task's cancellation for a fault.
    """
    try:
        yield
    except (HotswapError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise fault(said(error)) from error


def said(error: BaseException) -> str:
    """An exception in one line of bounded length."""
    lines = str(error).strip().splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}" if lines[0] else type(error).__name__
    return text[:300]
