"""Transaction: one change of the registry, made whole or not at all.

Most have to read files before they can be made. So each is a generator: it yields what
to read, and is sent what was found, or is thrown why nothing was. All that decides is
written in one place, for one thread; `name_queues` has the files read beside it.
Meanwhile other names may have changed, its own has not.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

from hotswap.library.folder_reader import Read

T = TypeVar("T")
Transaction = Generator[Callable[[], Read], Read, T]


def at_once(work: Callable[[], T]) -> Transaction[T]:
    """One that reads nothing."""
    yield from ()
    return work()
