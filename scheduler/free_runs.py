"""FreeRuns: numbers that nobody has, as runs: blocks of memory that lie side by side.

Where the blocks of a job are neighbours, what computes on them needs no table of them,
and on a CPU copies nothing. So what is taken is one run wherever there is one.
"""

from bisect import bisect_right
from collections.abc import Iterator


class FreeRuns:
    """Runs [start, end), in order; neighbours are one."""

    def __init__(self, count: int) -> None:
        self._starts = [0] if count else []
        self._ends = [count] if count else []
        self.count = count

    def __iter__(self) -> Iterator[int]:
        for start, end in zip(self._starts, self._ends, strict=True):
            yield from range(start, end)

    def add(self, number: int) -> None:
        """Nobody has it any more."""
        at = bisect_right(self._starts, number)
        joins_before = at > 0 and self._ends[at - 1] == number
        joins_after = at < len(self._starts) and self._starts[at] == number + 1
        assert not at or self._ends[at - 1] <= number, f"{number} is free already"
        if joins_before and joins_after:
            self._ends[at - 1] = self._ends[at]
            del self._starts[at], self._ends[at]
        elif joins_before:
            self._ends[at - 1] = number + 1
        elif joins_after:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number + 1)
        self.count += 1

    def take(self, count: int, after: int | None) -> list[int]:
        """So many, which the caller knows to be there: those that follow `after` if
        they are free, the rest as one run if there is one, else the longest ones."""
        taken: list[int] = []
        if after is not None:
            at = bisect_right(self._starts, after + 1) - 1
            if at >= 0 and self._starts[at] == after + 1:
                taken = self._cut(at, count)
        while len(taken) < count:
            taken += self._cut(self._fitting(count - len(taken)), count - len(taken))
        return taken

    def _fitting(self, count: int) -> int:
        """The first run of so many; of shorter ones the longest."""
        best, longest = 0, 0
        for at, (start, end) in enumerate(zip(self._starts, self._ends, strict=True)):
            if end - start >= count:
                return at
            if end - start > longest:
                best, longest = at, end - start
        return best

    def _cut(self, at: int, count: int) -> list[int]:
        """At most so many from the head of a run."""
        start = self._starts[at]
        stop = min(self._ends[at], start + count)
        if stop == self._ends[at]:
            del self._starts[at], self._ends[at]
        else:
            self._starts[at] = stop
        self.count -= stop - start
        return list(range(start, stop))
