"""Spans: who has which part of an arena, each job's in one piece.

A job reserves a span [start, start + tokens) for all it may ever need. When free room
suffices but is scattered, the spans slide together, and whoever has the memory moves
the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

Move = Callable[[int, int, int], None]
"""(source, target, rows): move rows [source, source + rows) down to [target, ...). The
two may overlap."""


@dataclass(slots=True, eq=False)
class Span:
    """One job's place; `start` changes when spans slide together."""

    start: int
    tokens: int


class Spans:
    def __init__(self, capacity: int, move: Move) -> None:
        self.capacity = capacity
        self._move = move
        self._spans: list[Span] = []  # by start

    @property
    def used(self) -> int:
        return sum(span.tokens for span in self._spans)

    def reserve(self, tokens: int) -> Span:
        """A span of `tokens`: the first gap that holds them. May move others. The
        caller has counted that there is room."""
        assert self.used + tokens <= self.capacity, "more was given out than there is"
        end = 0
        for index, span in enumerate(self._spans):
            if span.start - end >= tokens:
                return self._insert(index, end, tokens)
            end = span.start + span.tokens
        if self.capacity - end < tokens:
            end = self._slide_together()
        return self._insert(len(self._spans), end, tokens)

    def release(self, span: Span) -> None:
        self._spans.remove(span)

    def _insert(self, index: int, start: int, tokens: int) -> Span:
        span = Span(start, tokens)
        self._spans.insert(index, span)
        return span

    def _slide_together(self) -> int:
        """Close the gaps; returns the end of the last span."""
        end = 0
        for span in self._spans:
            if span.start != end:
                self._move(span.start, end, span.tokens)
                span.start = end
            end += span.tokens
        return end
