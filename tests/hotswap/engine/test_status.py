"""What the world sees of the engine, and how one waits for it to show something."""

import asyncio
import threading

from hotswap.adapters.origin import Origin
from hotswap.engine.messages import Adopt
from tests.engines import Start, rest_of, submit, text_of
from tests.fakes import FakeExecutor, expected, generation


async def test_the_status_counts_what_happened(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    await text_of(submit(engine, "a", prompt=20))
    counters = engine.status.counters

    assert (counters.accepted, counters.finished) == (1, 1)
    assert (counters.prefill_tokens, counters.generated_tokens) == (20, 10)
    assert engine.status.live == engine.status.waiting == 0


async def test_the_status_tells_the_bound_on_a_wait_and_why_it_decided_as_it_did(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    await asyncio.gather(
        *(text_of(submit(engine, name, tokens=20)) for name in ("a", "b"))
    )
    status = engine.status

    assert status.wait_bound_s is not None
    assert status.wait_bound_s >= 0.025, "patience, and some steps"
    assert status.gap_bound_s is not None
    assert status.queue_s == 0.0, "nobody waits"
    assert status.recent
    assert all(each.why and each.jobs > 0 for each in status.recent)
    assert status.cost_error is not None


async def test_a_sync_is_answered_when_the_status_shows_what_was_posted_before_it(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    engine.post(Adopt("new", generation("z"), Origin(src="new")))
    await asyncio.wrap_future(engine.sync())

    assert "new" in [each.name for each in engine.status.adapters]
    await asyncio.to_thread(engine.stop, 10)
    await asyncio.wrap_future(engine.sync())  # it has ended: nobody waits


async def test_whoever_asks_for_a_sync_may_leave_before_it_is_answered(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model)
    ticket = submit(engine, "a")
    await ticket.accepted()
    asking = asyncio.ensure_future(asyncio.wrap_future(engine.sync()))
    await asyncio.sleep(0)

    asking.cancel()
    model.gate.release(100)

    async with asyncio.timeout(10):
        text = await rest_of(ticket)
    assert text == expected("a", 3, 10)
    assert engine.is_alive
