"""Engines on the fake model: started, asked, and stopped with their books checked."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.engine.queue_limits import QueueLimits
from hotswap.engine.sums import SumOrder
from hotswap.engine.ticket import Ticket
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES, Scheduler, SchedulerLimits
from scheduler.policy import Policy
from tests.fakes import EOS, PROMPT_TOKEN, FakeExecutor, FakeTokenizer, generation

NAMES = ["a", "b", "c", "d"]

# As `running`, until the test has ended: the fixture `start`.
Start = Callable[..., Awaitable[Engine]]


def small_scheduler(
    policy: Policy,
    *,
    kv_tokens: int = 1000,
    max_waiting: int = 1000,
    block_tokens: int = 1,
) -> Scheduler:
    return Scheduler(
        policy,
        SchedulerLimits(
            kv_tokens=kv_tokens,
            max_batch=4,
            max_waiting=max_waiting,
            prefill_tokens=8,
            patience_s=0.025,
            block_tokens=block_tokens,
        ),
    )


def engine_of(
    model: FakeExecutor,
    scheduler: Scheduler,
    store: Store,
    *,
    fetch: Callable[[str], None],
    prefix_cache: bool = True,
    clock: Callable[[], float] = time.monotonic,
    compose: Callable[[SumOrder], None] = lambda order: None,
    queue_limits: QueueLimits | None = None,
) -> Engine:
    """An engine that speaks `FakeTokenizer`'s words. It has not started."""
    return Engine(
        model,
        scheduler,
        store,
        FakeTokenizer(),
        eos=frozenset({EOS}),
        context=500,
        prefix_cache=prefix_cache,
        fetch=fetch,
        compose=compose,
        clock=clock,
        queue_limits=queue_limits,
    )


@asynccontextmanager
async def running(
    model: FakeExecutor,
    policy: str = "affinity",
    *,
    kv_tokens: int = 1000,
    max_waiting: int = 1000,
    prefix_cache: bool = True,
    chooser: Policy | None = None,
    store: Store | None = None,
    fetch: Callable[[str], None] = lambda name: None,
    clock: Callable[[], float] = time.monotonic,
    compose: Callable[[SumOrder], None] = lambda order: None,
    queue_limits: QueueLimits | None = None,
) -> AsyncIterator[Engine]:
    """An engine with an adapter for each of `NAMES`, whose generation has that key."""
    scheduler = small_scheduler(
        chooser or POLICIES[policy](),
        kv_tokens=kv_tokens,
        max_waiting=max_waiting,
        block_tokens=model.block_tokens,
    )
    engine = engine_of(
        model,
        scheduler,
        store or Store(),
        fetch=fetch,
        prefix_cache=prefix_cache,
        clock=clock,
        compose=compose,
        queue_limits=queue_limits,
    )
    for name in NAMES:
        engine.post(Adopt(name, generation(name), Origin(src=name)))
    engine.start()
    try:
        yield engine
    finally:
        if model.gate is not None:
            model.gate.release(10_000)
        await asyncio.to_thread(engine.stop, 10)
        assert not model.opened, "a job was not closed"
        assert not model.in_air, "a flight was left behind"
        restarts = len(model.blocks.restarts)
        assert restarts <= scheduler.preempted, "a token was repeated"
        scheduler.check()


def submit(
    engine: Engine,
    adapter: str,
    prompt: int | Sequence[int] = 3,
    tokens: int = 10,
    *,
    tokenizer: Tokenizer | None = None,
    **params: Any,
) -> Ticket:
    """Ask for a greedy answer of so many `tokens` to a prompt, or one of so many."""
    ticket = engine.open_ticket()
    engine.post(
        Submit(
            ticket=ticket,
            adapter=adapter,
            prompt=(PROMPT_TOKEN,) * prompt
            if isinstance(prompt, int)
            else tuple(prompt),
            params=SamplingParams(max_tokens=tokens, temperature=0, **params),
            tokenizer=tokenizer,
        )
    )
    return ticket


async def text_of(ticket: Ticket) -> str:
    """The whole answer. Raises what it is refused or failed with."""
    try:
        await ticket.accepted()
        return await rest_of(ticket)
    finally:
        ticket.close()


async def rest_of(ticket: Ticket) -> str:
    """What is still to come of an answer that was accepted."""
    return "".join([piece.text async for piece in ticket.pieces()])


def leased(engine: Engine) -> list[str]:
    """The adapters that a job holds, as the status tells."""
    return [each.name for each in engine.status.adapters if each.leases]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the engine will make true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
