"""Shortest: whose queue is the shortest, of many that change one by one.

A heap in which what has changed is only left behind, and dropped when it comes up.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

_SPARE = 64  # entries left behind, before the heap is made anew


class Shortest:
    """By name, how long its queue is. Ties break by name."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def put(self, name: str, value: float) -> None:
        if self._values.get(name) == value:
            return
        self._values[name] = value
        heappush(self._heap, (value, name))
        if len(self._heap) > 2 * len(self._values) + _SPARE:
            self._heap = [(value, name) for name, value in self._values.items()]
            heapify(self._heap)

    def drop(self, name: str) -> None:
        self._values.pop(name, None)

    def least(self) -> str | None:
        """None if there is nobody. What it drops from the heap is out of date."""
        heap, values = self._heap, self._values
        while heap and values.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][1] if heap else None
