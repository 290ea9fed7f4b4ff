"""Fake blocks: what lies in the KV of a fake executor, place by place.

Each place holds the tokens up to it and who computed them, so that a row that attends
to KV of another adapter, of other tokens or of nobody fails where it happens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hotswap.model.network.rows import Row, Scored

Token = Callable[[int, int], int | None]
"""The token of a job at a position; None: the step that was to sample it has failed."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a row of a flight writes: the job's tokens at positions, as `by` it."""

    job: int
    by: object
    start: int
    stop: int
    places: tuple[int, ...]  # of all positions before `stop`


@dataclass
class FakeFlight:
    """What a step will say: for each row that wants it, the weights that compute it and
    the tokens that its job has then."""

    jobs: list[int]
    said: list[tuple[int, str, int]]  # job, key, position
    scored: dict[int, list[Scored]]  # of prompts, with the first that a job says
    written: list[Written]


class FakeBlocks:
    """`size`: tokens of a block. `restarts`: jobs that were sent back and came again,
    each time."""

    def __init__(self, size: int, *, are_shared: bool) -> None:
        self.size = size
        self.restarts: list[int] = []
        self.computed = 0  # tokens
        self._are_shared = are_shared
        self._held: dict[int, object] = {}
        self._failed: set[int] = set()  # jobs: what is in the air of them is nonsense

    def row(self, row: Row, seen: int, by: object) -> Written:
        """Of a job that has computed `seen` tokens, by the generation and salt `by`."""
        start = row.position
        if start != seen:
            assert start == 0 or self._are_shared, "a token was skipped or repeated"
            is_last = len(row.known) == 1 and (start + 1) % self.size == 0
            assert start % self.size == 0 or is_last, "part of a block was found"
            self.restarts += [row.job] if seen else []
        stop = start + (1 if row.tokens is None else len(row.tokens))
        blocks = list(row.blocks)
        assert len(set(blocks)) == len(blocks), "a job has a block twice"
        assert len(blocks) * self.size >= stop, "over its KV"
        places = (
            blocks[n // self.size] * self.size + n % self.size for n in range(stop)
        )
        return Written(row.job, by, start, stop, tuple(places))

    def spoil(self, flight: Sequence[Written]) -> None:
        """A step that failed may have written anything."""
        for row in flight:
            self._failed.add(row.job)
            for place in row.places[row.start :]:
                self._held[place] = "spoilt"

    def compute(self, flight: Sequence[Written], token: Token) -> None:
        """All rows are written before any attends."""
        for row in flight:
            held = _held_by(row, token)
            for place, what in zip(
                row.places[row.start :], held[row.start :], strict=True
            ):
                self._held[place] = what
            self.computed += row.stop - row.start
        for row in flight:
            found = [self._held.get(place) for place in row.places]
            is_own = row.job in self._failed or found == _held_by(row, token)
            assert is_own, f"job {row.job} attends to KV that is not its own"


def _held_by(row: Written, token: Token) -> list[object]:
    held: list[object] = []
    chain = hash(row.by)
    for position in range(row.stop):
        chain = hash((chain, token(row.job, position)))
        held.append(chain)
    return held
