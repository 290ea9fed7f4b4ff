"""Requests for an adapter that is on disk wait until it is read."""

import asyncio

import pytest

from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.batch import Batch
from hotswap.engine.engine import Engine
from hotswap.engine.latencies import Latencies
from hotswap.engine.message_handler import MessageHandler
from hotswap.engine.messages import Adopt, Message, Refuse, Retire, Submit
from hotswap.engine.outbox import Outbox
from hotswap.engine.status import Counters
from hotswap.engine.sums import Sums
from hotswap.engine.ticket import Ticket
from hotswap.errors import OtherTokenizer, StillLoading, Stopping, UnknownAdapter
from hotswap.sampling_params import SamplingParams
from tests.engines import Start, leased, submit, text_of, until
from tests.fakes import FakeExecutor, FakeTokenizer, LoudTokenizer, expected, generation
from tests.scheduler.traces import scheduler

OnDisk = tuple[Engine, list[str]]


@pytest.fixture
async def one_on_disk(start: Start, model: FakeExecutor) -> OnDisk:
    """An engine that knows `d` by name alone, and what it asked the library for."""
    asked: list[str] = []
    store = Store(max_loaded=1)
    engine = await start(model, store=store, fetch=asked.append)
    engine.post(Retire("d"))  # it was adopted at the start
    engine.post(Adopt("d", None, Origin(src="d", preload=False)))
    return engine, asked


async def test_requests_for_an_adapter_on_disk_wait_for_one_read_and_are_served(
    one_on_disk: OnDisk,
) -> None:
    engine, asked = one_on_disk
    tickets = [submit(engine, "d") for _ in range(3)]
    await until(lambda: bool(asked))
    other = await text_of(submit(engine, "base"))

    engine.post(Adopt("d", generation("d"), Origin(src="d")))
    texts = await asyncio.gather(*map(text_of, tickets))

    assert asked == ["d"]
    assert other == expected("base", 3, 10)
    assert texts == [expected("d", 3, 10)] * 3


@pytest.mark.parametrize("message", [Refuse("d", "gone", Origin(src="d")), Retire("d")])
async def test_requests_for_an_adapter_that_cannot_be_read_are_refused(
    message: Message, one_on_disk: OnDisk
) -> None:
    engine, asked = one_on_disk
    ticket = submit(engine, "d")
    await until(lambda: bool(asked))

    engine.post(message)

    with pytest.raises(UnknownAdapter):
        await text_of(ticket)


async def test_an_adapter_that_cannot_be_read_just_now_is_read_when_next_asked_for(
    one_on_disk: OnDisk,
) -> None:
    engine, asked = one_on_disk
    ticket = submit(engine, "d")
    await until(lambda: bool(asked))
    engine.post(Refuse("d", "no descriptor", Origin(src="d"), is_passing=True))
    with pytest.raises(StillLoading, match="no descriptor"):
        await text_of(ticket)

    ticket = submit(engine, "d")
    await until(lambda: len(asked) == 2)
    engine.post(Adopt("d", generation("d"), Origin(src="d")))
    assert await text_of(ticket) == expected("d", 3, 10)


async def test_a_client_that_leaves_while_its_adapter_is_read_leaves_nothing_behind(
    one_on_disk: OnDisk,
) -> None:
    engine, asked = one_on_disk
    ticket = submit(engine, "d")
    await until(lambda: bool(asked))
    ticket.close()
    engine.post(Adopt("d", generation("d"), Origin(src="d")))
    await text_of(submit(engine, "base"))

    assert engine.status.counters.accepted == 1
    assert leased(engine) == []


async def test_a_prompt_that_waited_for_a_read_comes_back_if_its_tokenizer_changed(
    one_on_disk: OnDisk,
) -> None:
    engine, asked = one_on_disk
    ticket = submit(engine, "d")
    await until(lambda: bool(asked))

    engine.post(Adopt("d", generation("d", LoudTokenizer()), Origin(src="d")))

    with pytest.raises(OtherTokenizer):
        await text_of(ticket)


async def test_who_waits_for_a_read_is_told_when_the_server_stops(
    one_on_disk: OnDisk,
) -> None:
    engine, asked = one_on_disk
    ticket = submit(engine, "d")
    await until(lambda: bool(asked))

    engine.drain(5)

    with pytest.raises(Stopping):
        await text_of(ticket)


async def test_a_deadline_counts_from_the_request_and_not_from_the_read(
    model: FakeExecutor,
) -> None:
    now, store = 0.0, Store()
    store.adopt("d", None, Origin(src="d", preload=False))
    jobs = scheduler()
    batch = Batch(model, store, jobs)
    handler = MessageHandler(
        store,
        batch,
        jobs,
        Outbox(),
        counters=Counters(),
        latencies=Latencies(),
        tokenizer=FakeTokenizer(),
        eos=frozenset(),
        limit=100,
        hash_block_tokens=None,
        queue_limits=None,
        fetch=lambda name: None,
        sums=Sums(store, lambda order: None),
        clock=lambda: now,
    )
    ticket = Ticket(1, lambda job: None, 0.0)
    params = SamplingParams(max_tokens=1, deadline_s=2.0)

    handler.handle(Submit(ticket=ticket, adapter="d", prompt=(1,), params=params))
    now = 1.5
    handler.handle(Adopt("d", generation("d"), Origin(src="d")))

    assert batch[1].job.deadline == 2.0
