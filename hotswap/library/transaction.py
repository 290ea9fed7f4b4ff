"""Transaction: one change of the registry, made whole or not at all.

Most have to read files before they can be made, and to ask the operator's hooks. So
each is a generator: it yields what to read or whose answer to wait for, and is sent
what came of it, or is thrown why nothing did. All that decides is written in one place,
for one thread; `name_queues` has the rest done beside it. What lies elsewhere is
fetched first: that may take as long as it takes, so it is yielded as a `Fetch`, and
counts among no reads. Meanwhile other names may have changed, its own has not.
"""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from hotswap.library.folder_reader import Read
from hotswap.sources.cache_users import Held

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """`work` fetches; it ends soon when its event is set."""

    work: Callable[[threading.Event], Held]


# It is sent a Read for what it reads, Held for a Fetch, and what a Future brings.
Transaction = Generator[Callable[[], Read] | Fetch | Future[Any], Any, T]


def at_once(work: Callable[[], T]) -> Transaction[T]:
    """One that reads nothing."""
    yield from ()
    return work()
