"""Ring: consistent hashing. A name's walk meets every replica once, in its own order.

When a replica comes or goes only the names change place that come to it or leave it.
Each replica has many points, so that its share is even and what it leaves goes to all.
A ring and not rendezvous hashing, which asks every replica about every name: here a
name costs one bisection. Hashes are the same in every process: routers agree without
a word between them.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from hashlib import blake2b

_POINTS = 64  # of each replica: shares within some 12 % of even


class Ring:
    def __init__(self) -> None:
        self._points: list[tuple[int, str]] = []
        self._replicas: set[str] = set()

    def __len__(self) -> int:
        return len(self._replicas)

    def add(self, replica: str) -> None:
        if replica not in self._replicas:
            self._replicas.add(replica)
            for n in range(_POINTS):
                insort(self._points, (_hash(f"{n} {replica}"), replica))

    def remove(self, replica: str) -> None:
        if replica in self._replicas:
            self._replicas.remove(replica)
            self._points = [point for point in self._points if point[1] != replica]

    def walk(self, name: str) -> Iterator[str]:
        """Every replica, the name's home first. Valid until one comes or goes."""
        points, met = self._points, set[str]()
        first = bisect_left(points, (_hash(name), ""))
        for n in range(len(points)):
            replica = points[(first + n) % len(points)][1]
            if replica not in met:
                met.add(replica)
                yield replica
                if len(met) == len(self._replicas):
                    return


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
