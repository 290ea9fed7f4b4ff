"""A bug of the engine's own fails jobs, and hardly ever the engine; nobody hangs."""

import asyncio
import threading
import time

import pytest

from hotswap.adapters.origin import Origin
from hotswap.engine.messages import Adopt
from hotswap.errors import InternalError, Stopping
from scheduler.policy import Plan, View, mixed
from tests.engines import Start, leased, rest_of, submit, text_of, until
from tests.fakes import FakeExecutor, FakeTokenizer, Panic, expected, generation


class Bug:
    """A policy that is wrong about `b`."""

    def choose(self, view: View) -> Plan:
        assert "b" not in view.loads, "injected"
        return mixed("fine so far")


async def test_a_bug_in_a_round_fails_the_jobs_that_are_there_and_the_engine_goes_on(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model, chooser=Bug())
    beside = submit(engine, "a")
    await beside.accepted()
    buggy = submit(engine, "b")
    model.gate.release(1)
    await buggy.accepted()
    async with asyncio.timeout(10):
        for ticket in (beside, buggy):
            with pytest.raises(InternalError, match="injected"):
                _ = [piece async for piece in ticket.pieces()]

        model.gate.release(100)
        assert await text_of(submit(engine, "a")) == expected("a", 3, 10)
    assert engine.is_alive


@pytest.mark.parametrize("error", [RuntimeError, Panic])
async def test_a_message_that_fails_concerns_nobody_but_its_sender(
    error: type[BaseException], start: Start, model: FakeExecutor
) -> None:
    class Broken(FakeTokenizer):
        @property
        def eos(self) -> frozenset[int]:
            raise error("injected")

    broken = Broken()
    model.gate = threading.Semaphore(0)
    engine = await start(model)
    engine.post(Adopt("e", generation("e", broken), Origin(src="e")))
    beside = submit(engine, "a")
    await beside.accepted()
    failing = submit(engine, "e", tokenizer=broken)
    model.gate.release(100)
    with pytest.raises(InternalError, match="injected"):
        await failing.accepted()
    text = await rest_of(beside)
    assert text == expected("a", 3, 10)
    assert leased(engine) == []


async def test_nobody_waits_for_an_engine_that_a_bug_has_ended(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    is_broken = False

    def clock() -> float:
        assert not is_broken, "injected"
        return time.monotonic()

    engine = await start(model, clock=clock)
    running_job, fatal = submit(engine, "a"), submit(engine, "b")
    await running_job.accepted()
    await fatal.accepted()

    is_broken = True
    model.gate.release(100)
    async with asyncio.timeout(10):
        for ticket in (running_job, fatal):
            with pytest.raises((Stopping, InternalError)):
                _ = [piece async for piece in ticket.pieces()]
        await until(lambda: not engine.is_alive)

        is_broken = False  # the ticket is opened here, by the same clock
        with pytest.raises(Stopping):
            await text_of(submit(engine, "a"))
        await asyncio.wrap_future(engine.sync())
