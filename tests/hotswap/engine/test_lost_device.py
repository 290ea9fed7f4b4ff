"""What computes the model has ended: jobs are told why, and so does the engine end."""

import asyncio
import threading

import pytest

from hotswap.engine.messages import Lost
from hotswap.errors import DeviceLost
from tests.engines import Start, submit, text_of, until
from tests.fakes import FakeExecutor


async def test_a_step_on_a_device_that_is_lost_ends_the_engine(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    model.fail_next = DeviceLost("injected")
    running = submit(engine, "a")
    async with asyncio.timeout(10):
        with pytest.raises(DeviceLost, match="injected"):
            await text_of(running)
        await until(lambda: not engine.is_alive)


async def test_an_engine_without_a_step_hears_of_it_too(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model)
    running = submit(engine, "a")
    await running.accepted()
    engine.post(Lost("injected"))
    model.gate.release(100)
    async with asyncio.timeout(10):
        with pytest.raises(DeviceLost, match="injected"):
            _ = [piece async for piece in running.pieces()]
        await until(lambda: not engine.is_alive)
