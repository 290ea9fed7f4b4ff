"""An engine on an executor of a real model, asked many things at once."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel

from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.engine.status import Counters
from hotswap.engine.ticket import Ticket
from hotswap.model.model_executor import ModelExecutor
from hotswap.model.network.rows import Scored
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES
from tests import tiny
from tests.engines import small_scheduler
from tests.vllm.fixtures import CONTEXT, KV_TOKENS, Served

TOKENIZER = Tokenizer(tiny.tokenizer())


@dataclass(frozen=True)
class Ask:
    adapter: str
    prompt: tuple[int, ...]
    params: SamplingParams


@dataclass(frozen=True)
class Said:
    text: str
    tokens: tuple[int | None, ...]
    scored: tuple[Scored, ...]
    prompt: tuple[Scored, ...]
    cached: int


@asynccontextmanager
async def running(
    executor: ModelExecutor,
    adapters: Mapping[str, Generation],
    policy: str = "affinity",
    *,
    kv_tokens: int = KV_TOKENS,
    prefix_cache: bool = False,
) -> AsyncIterator[Engine]:
    """Four jobs in a step, and eight tokens of prompts."""
    scheduler = small_scheduler(
        POLICIES[policy](), kv_tokens=kv_tokens, block_tokens=executor.block_tokens
    )
    engine = Engine(
        executor,
        scheduler,
        Store(),
        TOKENIZER,
        eos=frozenset({tiny.EOS}),
        context=min(CONTEXT, kv_tokens),
        prefix_cache=prefix_cache,
        fetch=lambda name: None,
        compose=lambda order: None,
    )
    for name, generation in adapters.items():
        engine.post(Adopt(name, generation, Origin(src=name)))
    engine.start()
    try:
        yield engine
    finally:
        await asyncio.to_thread(engine.stop, 10)
        scheduler.check()


def submit(engine: Engine, ask: Ask) -> Ticket:
    ticket = engine.open_ticket()
    engine.post(
        Submit(ticket=ticket, adapter=ask.adapter, prompt=ask.prompt, params=ask.params)
    )
    return ticket


async def answer(engine: Engine, ask: Ask) -> Said:
    """Raises what it is refused or fails with."""
    ticket = submit(engine, ask)
    try:
        await ticket.accepted()
        pieces = [piece async for piece in ticket.pieces()]
    finally:
        ticket.close()
    return Said(
        "".join(piece.text for piece in pieces),
        tuple(piece.token for piece in pieces if piece.token is not None),
        tuple(piece.scored for piece in pieces if piece.scored),
        pieces[0].prompt,
        pieces[0].cached_tokens,
    )


async def answers(
    executor: ModelExecutor,
    adapters: Mapping[str, Generation],
    asks: Sequence[Ask],
    *arguments: Any,
    rounds: int = 1,
    **more: Any,
) -> tuple[list[Said], Counters]:
    """All at once; those of the last round."""
    async with running(executor, adapters, *arguments, **more) as engine:
        for _ in range(rounds):
            said = await asyncio.gather(*[answer(engine, ask) for ask in asks])
        await asyncio.wrap_future(engine.sync())
        return list(said), engine.status.counters


def named(served: Served) -> dict[str, Generation]:
    return {f"a{n}": generation for n, generation in enumerate(served.generations)}


def merged(served: Served, adapter: str) -> torch.nn.Module:
    """What PEFT makes of it; "" is the bare model."""
    base = served.base()
    if not adapter:
        return base
    folder = served.adapters[int(adapter[1:])]
    whole: torch.nn.Module = PeftModel.from_pretrained(base, folder).merge_and_unload()
    return whole.eval()


@torch.no_grad()
def greedy(model: torch.nn.Module, prompt: Sequence[int], tokens: int) -> list[int]:
    """What it says, of so many tokens, without any cache."""
    text = list(prompt)
    for _ in range(tokens):
        text.append(int(model(input_ids=torch.tensor([text])).logits[0, -1].argmax()))
    return text[len(prompt) :]
