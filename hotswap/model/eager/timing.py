"""Timing: which of several ways to compute a model's products is the fastest here.

What a CPU's flags say is not what it does: oneDNN emulates bfloat16 on some, at half
the speed of float32. So every way is tried, and the table of seconds decides. Knows
the clock it is given and nothing of how a product is computed.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import torch

# How many steps of so many rows two loads take: a client alone, and sixteen at once,
# each with a prompt of 128 tokens and an answer of 64. Decoding is most of both.
STEPS = {1: 64, 16: 64, 256: 8}
_TIE = 1.1  # times the fastest: not worth more memory
_CLEARLY = 0.95  # times as long: worth an operation more
_HOPELESS = 1.5  # times the fastest: not tried with many rows
_LEAST_RUNS, _MOST_RUNS = 3, 8

K = TypeVar("K", bound=Hashable)


class Way(NamedTuple):
    """The weights' type, and for how many rows they are packed; 0: not at all. Weights
    that are widened are packed for any, and everything else is float32."""

    dtype: torch.dtype
    packed_for: int
    widens: bool = False

    @property
    def rows_dtype(self) -> torch.dtype:
        """Of what weights are multiplied by."""
        return torch.float32 if self.widens else self.dtype

    @property
    def bytes(self) -> int:
        """Memory of a parameter: what is packed lies beside what was loaded."""
        return self.dtype.itemsize * (2 if self.packed_for or self.widens else 1)

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        if self.widens:
            return f"{name} widened to float32"
        return f"{name} packed for {self.packed_for}" if self.packed_for else name


Table = Mapping[Way, Mapping[int, float]]
"""Seconds of all products of a step, by way and rows; fewer rows of a hopeless way."""


def race(
    ways: Sequence[Way],
    run: Callable[[Way, int], Sequence[float]],
    clock: Callable[[], float],
    limit_s: float,
) -> Table:
    """`run(way, rows)` computes each product once: the seconds they took."""
    begun = clock()
    table: dict[Way, dict[int, float]] = {way: {} for way in ways}
    alive = list(ways)
    for place, rows in enumerate(STEPS, 1):
        until = begun + limit_s * place / len(STEPS)
        runs = {way: partial(run, way, rows) for way in alive}
        for way, seconds in shortest(runs, clock, until).items():
            table[way][rows] = sum(seconds)
        if place > 1:  # a single row tells too little
            limit = _HOPELESS * min(_score(table[way]) for way in alive)
            alive = [way for way in alive if _score(table[way]) <= limit]
    return table


def shortest(
    runs: Mapping[K, Callable[[], Sequence[float]]],
    clock: Callable[[], float],
    until: float,
) -> dict[K, Sequence[float]]:
    """The shortest time of each thing that each run does.

    Whatever else the machine does only adds to a time; and the runs alternate, so
    that it adds to all of them. Each has three at least, however long they take.
    """
    found: dict[K, Sequence[float]] = {}
    for turn in range(_MOST_RUNS + 1):
        for key, run in runs.items():
            seconds = run()
            if turn == 1:  # the first pays for code that was never run
                found[key] = seconds
            elif turn:
                found[key] = [*map(min, found[key], seconds)]
        if turn >= _LEAST_RUNS and clock() > until:
            break
    return found


def best(table: Table) -> Way:
    """The one of least memory among those that are about as fast as the fastest."""
    whole = {
        way: _score(rows) for way, rows in table.items() if len(rows) == len(STEPS)
    }
    limit = _TIE * min(whole.values())
    return min(
        (way for way in whole if whole[way] <= limit),
        key=lambda way: (way.bytes, whole[way]),
    )


def apart_from(fused: Mapping[int, float], apart: Mapping[int, float]) -> int | None:
    """The number of rows from which on an activation is clearly faster after its
    product than in it; None: at none that was measured."""
    found = None
    for rows in sorted(fused, reverse=True):
        if apart[rows] > _CLEARLY * fused[rows]:
            break
        found = rows
    return found


def _score(rows: Mapping[int, float]) -> float:
    return sum(STEPS[count] * seconds for count, seconds in rows.items())
