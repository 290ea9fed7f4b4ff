"""A swap beside a step in the air: a warm one is not waited for, a build waits."""

import asyncio

import pytest

from hotswap.errors import MergeFailed
from scheduler.policy import Plan, View, merged, mixed
from tests.engines import Start, submit, text_of
from tests.fakes import AheadExecutor, expected


class Flips:
    """Merges the adapters that have jobs in turn."""

    def __init__(self) -> None:
        self.last = ""

    def choose(self, view: View) -> Plan:
        names = sorted(view.loads)
        later = [name for name in names if name > self.last]
        self.last = (later or names)[0]
        return merged(self.last, "flip")


async def test_a_slot_is_built_with_nothing_in_the_air_and_a_warm_one_is_not_waited_for(
    start: Start,
) -> None:
    model = AheadExecutor()
    model.weights.slots = 2
    engine = await start(model, chooser=Flips())
    texts = await asyncio.gather(*(text_of(submit(engine, n)) for n in ("a", "b")))

    assert texts == [expected("a", 3, 10), expected("b", 3, 10)]
    assert model.weights.beside[:2] == [0, 0], "both are cold"
    assert set(model.weights.beside[2:]) == {1}


async def test_jobs_that_end_while_a_slot_waits_are_not_in_its_step(
    start: Start,
) -> None:
    """With one slot each swap waits for the landing of the step before."""
    model = AheadExecutor(finish_after=6)
    engine = await start(model, chooser=Flips())
    texts = await asyncio.gather(*(text_of(submit(engine, n)) for n in "abab"))

    assert texts == [expected(name, 3, 3) for name in "abab"]
    assert set(model.weights.beside) == {0}


async def test_a_merge_that_fails_lets_the_flight_before_land(start: Start) -> None:
    model = AheadExecutor()
    model.weights.broken = {"b"}
    engine = await start(model, chooser=Flips())
    good, bad = submit(engine, "a"), submit(engine, "b")
    with pytest.raises(MergeFailed, match="injected"):
        await text_of(bad)

    assert await text_of(good) == expected("a", 3, 10)


class MixesThenMerges:
    """Merges `a` after two mixed steps, as long as it has jobs."""

    def __init__(self) -> None:
        self.steps = 0

    def choose(self, view: View) -> Plan:
        self.steps += 1
        is_time = self.steps > 2 and "a" in view.loads
        return merged("a", "now") if is_time else mixed("first")


async def test_a_step_whose_job_ended_while_its_slot_waited_is_decided_anew(
    start: Start,
) -> None:
    model = AheadExecutor(finish_after=4)
    engine = await start(model, chooser=MixesThenMerges())
    ending, staying = submit(engine, "a"), submit(engine, "b", ignore_eos=True)

    assert await text_of(ending) == expected("a", 3, 1)
    await staying.accepted()
    assert len([piece async for piece in staying.pieces()]) == 10
    assert model.weights.beside == []


async def test_tokens_in_the_air_are_told_before_a_merge_that_fails(
    start: Start,
) -> None:
    model = AheadExecutor()
    model.weights.held, model.weights.broken = ["a"], {"a"}  # warm, and yet
    engine = await start(model, chooser=MixesThenMerges())
    ticket = submit(engine, "a")
    await ticket.accepted()
    stream = ticket.pieces()
    said = [(await anext(stream)).text for _ in range(2)]

    with pytest.raises(MergeFailed, match="injected"):
        await anext(stream)
    assert "".join(said) == expected("a", 3, 2)
