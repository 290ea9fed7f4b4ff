"""Quiet: no warnings of PEFT's while adapters are read, in several threads at once.

`warnings.catch_warnings` saves and restores what is the whole process's: two that
overlap leave the filters of the first for ever. Here the first in saves them, and the
last out restores them.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


class _Quiet:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved = ExitStack()
        self._inside = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._saved.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._saved.close()


# One for the process, as the filters are.
quiet = _Quiet()
