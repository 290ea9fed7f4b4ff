"""A slot is built between the steps of others, before it is needed."""

import asyncio

import pytest

from hotswap.errors import MergeFailed, UnknownAdapter
from scheduler.policy import Plan, View, merged, mixed
from tests.engines import Start, submit, text_of
from tests.fakes import FakeExecutor, expected


class BuildAheadThenMerge:
    """Mixes while a slot for `a` is built, then merges `a` as long as it has jobs."""

    def choose(self, view: View) -> Plan:
        if "a" not in view.loads:
            return mixed("a is done")
        return (
            merged("a", "warm") if "a" in view.warm else mixed("wait", build_ahead="a")
        )


async def test_a_slot_is_built_ahead_between_the_steps_of_others_and_then_used(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, chooser=BuildAheadThenMerge())
    texts = await asyncio.gather(
        *(text_of(submit(engine, name, tokens=20)) for name in ("a", "b"))
    )
    counters = engine.status.counters

    assert texts == [expected("a", 3, 20), expected("b", 3, 20)]
    assert counters.mixed_steps >= 2
    assert counters.merged_steps > 0
    assert (counters.warm_swaps > 0, counters.cold_swaps) == (True, 0)
    # Each flip and the build take a millisecond.
    flips = counters.warm_swaps
    assert counters.built_ahead == 1
    assert counters.swap_seconds == pytest.approx(0.001 * (flips + 1))


async def test_a_slot_that_cannot_be_built_ahead_fails_its_adapter_alone(
    start: Start, model: FakeExecutor
) -> None:
    model.weights.broken = {"a"}
    engine = await start(model, chooser=BuildAheadThenMerge())
    broken, other = (submit(engine, name, tokens=20) for name in ("a", "b"))
    with pytest.raises(MergeFailed, match="injected"):
        await text_of(broken)

    assert await text_of(other) == expected("b", 3, 20)
    with pytest.raises(UnknownAdapter, match="could not be merged"):
        await text_of(submit(engine, "a"))
