"""Awaited: the requests whose adapter has to be read or made first, by its name.

They are neither accepted nor refused. A name stays while its read is under way, also if
nobody waits for it any more.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from hotswap.adapters.generation import Generation
from hotswap.engine.messages import Submit


@dataclass(slots=True)
class Waiting:
    """A request since its arrival. `parts`: of the sum that it asks for, those that
    are in memory, by name; what one waits for must not push out another."""

    message: Submit
    since: float
    parts: dict[str, Generation] = field(default_factory=dict)


class Awaited:
    """Owned by the engine thread."""

    def __init__(self, fetch: Callable[[str], None]) -> None:
        """`fetch`: asks for an adapter on disk to be read; returns at once."""
        self._fetch = fetch
        self._by_name: dict[str, list[Waiting]] = {}
        self.queued: Counter[Hashable] = Counter()  # by their queues; to be read

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))

    def __iter__(self) -> Iterator[Waiting]:
        return itertools.chain(*self._by_name.values())

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    @property
    def wanted(self) -> frozenset[str]:
        """The names that somebody waits for."""
        return frozenset(name for name, waiting in self._by_name.items() if waiting)

    def is_wanted(self, name: str) -> bool:
        """Whether anybody still waits for it."""
        return bool(self._by_name.get(name))

    def read(self, name: str) -> None:
        """Have it read, if that is not under way."""
        if name not in self._by_name:
            self._by_name[name] = []
            self._fetch(name)

    def add(self, name: str, waiting: Waiting) -> None:
        self._by_name.setdefault(name, []).append(waiting)
        self.queued.update(waiting.message.queues)

    def take(self, name: str) -> list[Waiting]:
        """All who waited for it, in order; it is under way no more."""
        taken = self._by_name.pop(name, [])
        for waiting in taken:
            self._leave(waiting)
        return taken

    def cancel(self, job: int) -> None:
        for name, waiting in self._by_name.items():
            for each in waiting:
                if each.message.ticket.job == job:
                    self._by_name[name] = [w for w in waiting if w is not each]
                    self._leave(each)
                    return

    def clear(self) -> None:
        self._by_name.clear()
        self.queued.clear()

    def _leave(self, waiting: Waiting) -> None:
        for queue in waiting.message.queues:
            self.queued[queue] -= 1
            if not self.queued[queue]:  # of names there is no end
                del self.queued[queue]
