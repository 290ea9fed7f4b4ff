"""The end: what was accepted is finished, what was not is told so."""

import asyncio
import threading

import pytest

from hotswap.engine.messages import Stop
from hotswap.errors import Stopping
from tests.engines import Start, rest_of, submit, text_of
from tests.fakes import FakeExecutor, expected


async def test_stopping_finishes_what_was_accepted_and_refuses_the_rest(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model)
    accepted = submit(engine, "a")
    await accepted.accepted()
    engine.drain(10)
    late = submit(engine, "a")
    model.gate.release(100)

    with pytest.raises(Stopping):
        await late.accepted()
    rest = await rest_of(accepted)

    assert rest == expected("a", 3, 10)


async def test_what_a_drain_cannot_finish_in_time_is_told_so(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model)
    accepted = submit(engine, "a")
    await accepted.accepted()
    engine.drain(0)
    # The step that runs when the message comes, and one launched behind it
    model.gate.release(1 + model.launches_ahead)

    with pytest.raises(Stopping):
        _ = [piece async for piece in accepted.pieces()]

    assert not model.opened, "it is closed"


async def test_what_is_posted_behind_the_last_message_is_answered(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    engine.drain(10)
    engine.post(Stop())
    async with asyncio.timeout(10):
        for _ in range(3):
            late, seen = submit(engine, "a"), engine.sync()
            with pytest.raises(Stopping):
                await text_of(late)
            await asyncio.wrap_future(seen)
