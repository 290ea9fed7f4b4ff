"""Transaction: one change of the registry, made whole or not at all.

Most have to read files before they can be made. So each is a generator: it yields what
to read, and is sent what was found, or is thrown why nothing was. All that decides is
written in one place, for one thread; `name_queues` has the files read beside it. What
lies elsewhere is fetched first: that may take as long as it takes, so it is yielded as
a `Fetch`, and counts among no reads.
Meanwhile other names may have changed, its own has not.
"""

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from hotswap.library.folder_reader import Read
from hotswap.sources.cache_users import Held

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """`work` fetches; it ends soon when its event is set."""

    work: Callable[[threading.Event], Held]


# It is sent a Read for what it reads, and Held for a Fetch.
Transaction = Generator[Callable[[], Read] | Fetch, Any, T]


def at_once(work: Callable[[], T]) -> Transaction[T]:
    """One that reads nothing."""
    yield from ()
    return work()
