"""Jobs whose KV others needed keep their tokens, and nobody sees that they left."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hotswap.engine.engine import Engine
from hotswap.engine.ticket import Ticket
from hotswap.errors import HotswapError, StepFailed, Stopping
from scheduler import POLICIES
from tests.engines import Start, submit, text_of, until
from tests.fakes import AheadExecutor, FakeExecutor, expected

SIZE = 4  # tokens of a block
KV_TOKENS = 48  # two of the jobs below have no room together


@pytest.fixture(params=[FakeExecutor, AheadExecutor])
def kind(request: pytest.FixtureRequest) -> Callable[..., FakeExecutor]:
    made: Callable[..., FakeExecutor] = request.param
    return made


@pytest.fixture(params=[SIZE, None], ids=["shared", "alone"])
def model(
    request: pytest.FixtureRequest, kind: Callable[..., FakeExecutor]
) -> FakeExecutor:
    return kind(block_tokens=request.param)


async def one_sent_back(
    start: Start, model: FakeExecutor, **options: Any
) -> tuple[Engine, threading.Semaphore, list[Ticket]]:
    """Answers of a, b and c, of which one was sent back; the gate lets steps go on."""
    gate = model.gate = threading.Semaphore(0)
    engine = await start(model, "fcfs-mixed", kv_tokens=KV_TOKENS, **options)
    tickets = [submit(engine, name, 5, 40) for name in "abc"]

    def is_there() -> bool:
        gate.release()
        return engine.status.counters.preemptions >= 1

    await until(is_there)
    return engine, gate, tickets


@pytest.mark.parametrize("policy", sorted(POLICIES))
async def test_everybody_gets_a_whole_text_however_little_kv_there_is(
    start: Start, model: FakeExecutor, policy: str
) -> None:
    engine = await start(model, policy, kv_tokens=KV_TOKENS)
    names = ["a", "b", "base", "a", "b", "c", "a", "a"]
    prompts = [(1, 2, 3) * (n % 3 + 1) for n in range(8)]
    tickets = [
        submit(engine, name, prompt, 30)
        for name, prompt in zip(names, prompts, strict=True)
    ]

    texts = await asyncio.gather(*map(text_of, tickets))

    await asyncio.wrap_future(engine.sync())
    assert texts == [
        expected(name, len(prompt), 30)
        for name, prompt in zip(names, prompts, strict=True)
    ]
    assert engine.status.counters.preemptions > 0
    assert engine.status.counters.generated_tokens == 8 * 30


async def test_a_stream_that_was_sent_back_goes_on_with_its_next_token(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, "fcfs-mixed", kv_tokens=KV_TOKENS)
    tickets = [submit(engine, name, 5, 40) for name in "abc"]
    for ticket in tickets:
        await ticket.accepted()
    streams = [[piece async for piece in ticket.pieces()] for ticket in tickets]

    for stream in streams:
        assert [len(piece.text) for piece in stream] == [1] * 40
        assert [piece.finish for piece in stream] == [None] * 39 + ["length"]
    assert engine.status.counters.preemptions > 0


@pytest.mark.parametrize("finish_after", range(12, 24))
async def test_an_answer_that_ends_while_it_is_sent_back_ends(
    start: Start, model: FakeExecutor, finish_after: int
) -> None:
    """By a token that was in the air then, for one."""
    model.finish_after = finish_after
    engine = await start(model, "fcfs-mixed", kv_tokens=24)
    tickets = [submit(engine, name, 5, 19) for name in "abc"]
    texts = await asyncio.gather(*map(text_of, tickets))
    assert texts == [expected(name, 5, finish_after - 5) for name in "abc"]


async def test_who_leaves_while_sent_back_is_gone_and_others_go_on(
    start: Start, model: FakeExecutor
) -> None:
    engine, gate, tickets = await one_sent_back(start, model)
    tickets[1].close()
    tickets[2].close()
    gate.release(1000)

    assert await text_of(tickets[0]) == expected("a", 5, 40)
    await until(lambda: engine.status.counters.cancelled == 2)
    assert not model.opened


async def test_a_server_that_drains_serves_those_who_were_sent_back(
    start: Start, model: FakeExecutor
) -> None:
    engine, gate, tickets = await one_sent_back(start, model)
    engine.drain(100.0)
    gate.release(1000)

    texts = await asyncio.gather(*map(text_of, tickets))
    assert texts == [expected(name, 5, 40) for name in "abc"]


async def test_a_drain_that_is_over_tells_those_who_were_sent_back(
    start: Start, model: FakeExecutor
) -> None:
    now = 0.0
    engine, gate, tickets = await one_sent_back(start, model, clock=lambda: now)
    engine.drain(1.0)
    gate.release(3)
    await until(lambda: engine.status.is_stopping)
    now = 2.0
    gate.release(1000)

    for ticket in tickets:
        with pytest.raises(Stopping):
            await text_of(ticket)
    assert not model.opened


async def test_a_step_that_fails_spares_those_who_were_sent_back(
    start: Start, model: FakeExecutor
) -> None:
    _, gate, tickets = await one_sent_back(start, model)
    model.fail_next = RuntimeError("injected")
    gate.release(1000)

    async def answer(name: str, number: int) -> str | HotswapError:
        try:
            return await text_of(tickets[number])
        except StepFailed as error:
            return error

    found = [await answer(name, number) for number, name in enumerate("abc")]
    whole = [text for text in found if isinstance(text, str)]
    assert 0 < len(whole) < 3
    assert whole == [
        expected(name, 5, 40)
        for name, text in zip("abc", found, strict=True)
        if isinstance(text, str)
    ]


async def test_a_prompt_that_is_scored_is_scored_once_though_it_begins_again(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, "fcfs-mixed", kv_tokens=KV_TOKENS)
    before = submit(engine, "a", 5, 40)
    scored = [submit(engine, "b", 30, 8, prompt_logprobs=1) for _ in range(3)]
    assert await text_of(before) == expected("a", 5, 40)

    for ticket in scored:
        await ticket.accepted()
        first, *rest = [piece async for piece in ticket.pieces()]
        assert [-each.logprob for each in first.prompt] == [*range(1, 30)]
        assert [piece.prompt for piece in rest] == [()] * 7
    assert engine.status.counters.preemptions > 0
