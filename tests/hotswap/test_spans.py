"""Spans: whatever jobs come and go, each keeps its rows and nobody shares them."""

from hypothesis import given
from hypothesis import strategies as st

from hotswap.model.network.spans import Span, Spans

CAPACITY = 24
ORDERS = st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=30)


class Arena:
    """Rows that note whose they are; moving leaves the source as it is."""

    def __init__(self) -> None:
        self.rows: list[int | None] = [None] * CAPACITY
        self.spans = Spans(CAPACITY, self.move)
        self.live: dict[int, Span] = {}

    def move(self, source: int, target: int, rows: int) -> None:
        assert 0 <= target < source
        self.rows[target : target + rows] = self.rows[source : source + rows]

    def open(self, job: int, tokens: int) -> None:
        span = self.spans.reserve(tokens)
        self.rows[span.start : span.start + tokens] = [job] * tokens
        self.live[job] = span


@given(ORDERS)
def test_all_that_fits_by_count_is_given_a_place_and_nobody_loses_a_row(
    orders: list[tuple[bool, int]],
) -> None:
    arena = Arena()
    for job, (opens, number) in enumerate(orders):
        used = sum(span.tokens for span in arena.live.values())
        if opens and used + number <= CAPACITY:
            arena.open(job, number)
        elif arena.live:
            gone = list(arena.live)[number % len(arena.live)]
            arena.spans.release(arena.live.pop(gone))
        for live, span in arena.live.items():
            assert 0 <= span.start <= CAPACITY - span.tokens
            rows = arena.rows[span.start : span.start + span.tokens]
            assert rows == [live] * span.tokens


def test_nothing_moves_while_there_is_a_gap() -> None:
    arena = Arena()
    for job in range(3):
        arena.open(job, 8)
    kept = [arena.live[1].start, arena.live[2].start]
    arena.spans.release(arena.live.pop(0))

    arena.open(3, 8)

    assert arena.live[3].start == 0
    assert [arena.live[1].start, arena.live[2].start] == kept
