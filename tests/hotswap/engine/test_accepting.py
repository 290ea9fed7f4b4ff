"""Whoever cannot be served is told so before anything is computed."""

import threading

import pytest

from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.messages import Adopt
from hotswap.errors import (
    HotswapError,
    OtherTokenizer,
    Overloaded,
    PromptTooLong,
    UnknownAdapter,
)
from tests.engines import Start, submit, text_of
from tests.fakes import FakeExecutor, LoudTokenizer, expected


async def test_an_unknown_adapter_is_refused_and_never_answered_by_the_base(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    with pytest.raises(UnknownAdapter, match="`nope` is not registered"):
        await text_of(submit(engine, "nope"))

    assert model.batches == []


async def test_a_full_queue_refuses_and_loses_nothing(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model, kv_tokens=20, max_waiting=2)
    tickets = [submit(engine, "a") for _ in range(6)]
    results: list[str | HotswapError] = []
    model.gate.release(1000)
    for ticket in tickets:
        try:
            results.append(await text_of(ticket))
        except Overloaded as error:
            results.append(error)

    answered = [r for r in results if isinstance(r, str)]
    assert len(answered) >= 2
    assert set(answered) == {expected("a", 3, 10)}
    refused = [r for r in results if isinstance(r, Overloaded)]
    assert len(answered) + len(refused) == len(results)
    assert all(error.retry_after_s is not None for error in refused)


async def test_a_job_larger_than_the_kv_store_is_refused_at_once(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, kv_tokens=50)
    with pytest.raises(PromptTooLong, match="at most 50 fit"):
        await text_of(submit(engine, "a", prompt=45, tokens=10))


async def test_a_prompt_encoded_for_another_generation_comes_back_before_it_is_a_job(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    with pytest.raises(OtherTokenizer):
        await text_of(submit(engine, "a", tokenizer=LoudTokenizer()))
    counters = engine.status.counters

    assert (counters.accepted, counters.refused) == (0, 0)
    assert await text_of(submit(engine, "a")) == expected("a", 3, 10)


async def test_what_waits_for_a_read_counts_as_waiting(
    start: Start, model: FakeExecutor
) -> None:
    store = Store()
    engine = await start(model, store=store, max_waiting=2)
    engine.post(Adopt("late", None, Origin(src="late", preload=False)))
    first = [submit(engine, "late") for _ in range(2)]

    with pytest.raises(Overloaded):
        await text_of(submit(engine, "late"))
    for ticket in first:
        ticket.close()
