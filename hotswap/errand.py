"""Errand: work for torch on a thread that ends with it.

OpenMP keeps a pool of workers for every thread that ever ran a parallel loop. Once they
outnumber the cores, libgomp's workers no longer spin between loops but sleep,
and each small operation waits for a wake-up: a decoding step takes twice as long
(measured: 50 ms instead of 30 for one sequence). The engine thread's pool must be the
only one that lasts; a pool ends with its thread.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def errand(work: Callable[[], T]) -> T:
    """The result of `work`, or what it raised. Blocks until it is done."""
    with ThreadPoolExecutor(1, thread_name_prefix="errand") as thread:
        return thread.submit(work).result()
