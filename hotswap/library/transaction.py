"""Transaction: one change of the registry, made whole or not at all.

Most have to read files before they can be made, and to ask the operator's hooks. So
each is a generator: it yields what to read or whose answer to wait for, and is sent
what came of it, or is thrown why nothing did. All that decides is written in one place,
for one thread; `name_queues` has the rest done beside it. Meanwhile other names may
have changed, its own has not.
"""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from hotswap.library.folder_reader import Read

T = TypeVar("T")
Transaction = Generator[Callable[[], Read] | Future[Any], Any, T]


def at_once(work: Callable[[], T]) -> Transaction[T]:
    """One that reads nothing."""
    yield from ()
    return work()
