"""The engine's texts are the same on both executors, whatever it mixes, merges and
launches ahead; and a request that is cancelled leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.errors import HotswapError
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.executor_choice import ModelExecutor
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES
from tests import tiny
from tests.engines import small_scheduler, text_of
from tests.hotswap.gpu.executors import CPU, PROMPT, adapters, executor_of, loaded

NAMES = ["", "a", "b", "c"]


@dataclass(frozen=True)
class Request:
    adapter: str
    prompt: int  # tokens
    answer: int  # tokens
    seed: int | None  # None is greedy
    is_late: bool  # comes when those before it have begun
    way: int = 0  # of WAYS


# What looks back at tokens that may still be in the air, among other things
WAYS: list[dict[str, Any]] = [
    {},
    {"repetition_penalty": 1.7, "logprobs": 3},
    {"presence_penalty": 1.0, "frequency_penalty": 0.6, "min_tokens": 4},
    {"bad_words": ((115, 115), (101,)), "logit_bias": ((115, 4.0), (tiny.EOS, 9.0))},
    {"min_p": 0.02, "allowed_tokens": frozenset(range(90, 130)), "logprobs": 0},
]
requests = st.builds(
    Request,
    adapter=st.sampled_from(NAMES),
    prompt=st.integers(1, 10),
    answer=st.integers(1, 7),
    seed=st.one_of(st.none(), st.integers(0, 3)),
    is_late=st.booleans(),
    way=st.integers(0, len(WAYS) - 1),
)


@dataclass
class Both:
    eager: EagerExecutor
    gpu: GpuExecutor
    generations: list[Generation]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """On a CPU; the adapters' tensors are the same for both."""
    gpu = executor_of(loaded(), slots=2, kv_tokens=64, max_batch=4)
    eager = EagerExecutor(loaded(place=CPU), slots=2, kv_tokens=64)
    folder: Path = tmp_path_factory.mktemp("adapters")
    return Both(eager, gpu, adapters(folder, gpu, 3))


@asynccontextmanager
async def running(
    executor: ModelExecutor, generations: list[Generation], policy: str
) -> AsyncIterator[Engine]:
    scheduler = small_scheduler(POLICIES[policy](), kv_tokens=64, block_tokens=16)
    engine = Engine(
        executor,
        scheduler,
        Store(),
        Tokenizer(tiny.tokenizer()),
        eos=frozenset({tiny.EOS}),
        context=60,
        prefix_cache=False,
        fetch=lambda name: None,
        compose=lambda order: None,
    )
    for name, generation in zip(NAMES[1:], generations, strict=True):
        engine.post(Adopt(name, generation, Origin(src=name)))
    engine.start()
    try:
        yield engine
    finally:
        await asyncio.to_thread(engine.stop, 10)
        scheduler.check()
        for generation in generations:
            executor.forget(generation.key)


def submitted(engine: Engine, request: Request) -> "asyncio.Task[str]":
    ticket = engine.open_ticket()
    greedy = request.seed is None
    engine.post(
        Submit(
            ticket=ticket,
            adapter=request.adapter,
            prompt=tuple(PROMPT[: request.prompt]),
            params=SamplingParams(
                max_tokens=request.answer,
                temperature=0 if greedy else 0.7,
                top_k=0 if greedy else 5 * (request.seed or 0),
                seed=request.seed,
                **WAYS[request.way],
            ),
        )
    )
    return asyncio.ensure_future(text_of(ticket))


async def texts(
    executor: ModelExecutor,
    generations: list[Generation],
    trace: list[Request],
    policy: str,
) -> list[str]:
    async with running(executor, generations, policy) as engine:
        answers: list[asyncio.Task[str]] = []
        for request in trace:
            if request.is_late:
                await asyncio.to_thread(engine.sync().result)
            answers.append(submitted(engine, request))
        return list(await asyncio.gather(*answers))


@settings(max_examples=12, deadline=None)
@given(
    st.lists(requests, min_size=1, max_size=8),
    st.sampled_from(["affinity", "fcfs-mixed", "fcfs-merged"]),
)
def test_texts_are_the_same_on_both_executors(
    both: Both, trace: list[Request], policy: str
) -> None:
    found = [
        asyncio.run(texts(executor, both.generations, trace, policy))
        for executor in (both.eager, both.gpu)
    ]

    assert found[0] == found[1]


def test_jobs_that_leave_while_a_step_is_in_the_air_disturb_nobody(both: Both) -> None:
    stays = Request("a", prompt=5, answer=20, seed=None, is_late=False)
    leaves = Request("a", prompt=3, answer=30, seed=None, is_late=False)

    async def crossed() -> str:
        async with running(both.gpu, both.generations, "affinity") as engine:
            stay = submitted(engine, stays)
            for _ in range(4):
                leaver = submitted(engine, leaves)
                await asyncio.to_thread(engine.sync().result)
                leaver.cancel()
                with pytest.raises((asyncio.CancelledError, HotswapError)):
                    await leaver
            return await stay

    alone = asyncio.run(texts(both.eager, both.generations, [stays], "affinity"))

    assert [asyncio.run(crossed())] == alone
