"""How long clients waited is told with an answer's last token, and as histograms."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.engine.latencies import BOUNDS, Histogram, Latencies
from hotswap.model.network.rows import Row
from scheduler import Mode
from tests.engines import NAMES, Start, submit, text_of
from tests.fake_blocks import FakeFlight
from tests.fakes import FakeExecutor


@settings(deadline=None)
@given(values=st.lists(st.floats(1e-4, 2e4)))
def test_each_value_is_counted_once_below_its_bound(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)

    found = histogram.observed()

    for place, bound in enumerate(BOUNDS):
        assert sum(found.counts[: place + 1]) == sum(v <= bound for v in values)
    assert sum(found.counts) == len(values)
    assert abs(found.sum - sum(values)) <= 1e-9 * max(1, sum(values))


def test_names_have_an_end_and_nobody_is_left_out() -> None:
    latencies = Latencies()
    for number in range(5000):
        latencies.first_token(f"sum {number}", 0.1)

    kept = latencies.by_adapter()

    assert len(kept) == 1001
    assert sum(of.first_token.count for of in kept.values()) == 5000
    assert kept[None].first_token.count == 4000


def test_the_last_values_have_a_median_and_a_percentile() -> None:
    latencies = Latencies()
    assert latencies.recent()["first_token_s"] == {"p50": None, "p99": None}
    for hundredth in range(101):
        latencies.gap("", hundredth / 100)

    assert latencies.recent()["between_tokens_s"] == {"p50": 0.5, "p99": 0.99}


class Timed(FakeExecutor):
    """Each step takes a second."""

    now = 0.0

    def _compute(self, flight: FakeFlight) -> None:
        super()._compute(flight)
        self.now += 1.0


async def test_the_last_piece_tells_what_its_job_has_waited(start: Start) -> None:
    model = Timed()
    engine = await start(model, clock=lambda: model.now)
    ticket = submit(engine, "a", prompt=9, tokens=3)  # the prompt takes two steps
    await ticket.accepted()

    pieces = [piece async for piece in ticket.pieces()]

    assert [piece.stats for piece in pieces[:-1]] == [None, None]
    stats = pieces[-1].stats
    assert stats is not None
    assert (stats.queue_s, stats.prefill_s, stats.decode_s) == (0.0, 2.0, 2.0)
    assert (stats.merged_tokens + stats.mixed_tokens, stats.whole_s) == (3, 4.0)
    of = engine.latencies.by_adapter()["a"]
    assert [
        (each.count, each.sum) for each in (of.first_token, of.between_tokens, of.whole)
    ] == [(1, 2.0), (2, 2.0), (1, 4.0)]
    steps = engine.latencies.step
    assert steps[Mode.MERGED].sum + steps[Mode.MIXED].sum == 4.0


async def test_a_job_is_told_of_swaps_in_its_own_time_alone(start: Start) -> None:
    model = FakeExecutor()
    engine = await start(model, "fcfs-merged")
    swaps = []
    for name in ("a", "a", "b"):
        ticket = submit(engine, name, tokens=2)
        await ticket.accepted()
        *_, last = [piece async for piece in ticket.pieces()]
        assert last.stats is not None
        swaps.append(last.stats.swaps)

    assert swaps == [1, 0, 1]
    assert engine.latencies.all_swaps.swaps == 2


class Stacking(Timed):
    """It takes an adapter in for a hundred seconds, and the one before it leaves."""

    stacked = frozenset[str]()

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> FakeFlight:
        keys = {row.generation.key for row in rows if row.generation}
        if keys != self.stacked:
            self.now, self.stacked = self.now + 100.0, frozenset(keys)
        return super().launch(rows, mixed=mixed)


async def test_what_it_took_that_adapters_came_and_went_is_not_what_steps_cost(
    start: Start,
) -> None:
    model = Stacking(finish_after=40)
    engine = await start(model, "fcfs-mixed", clock=lambda: model.now)
    for name in NAMES:
        await text_of(submit(engine, name, tokens=40))

    assert engine.status.costs["mixed_step_1_s"] == pytest.approx(1.0, rel=0.01)
