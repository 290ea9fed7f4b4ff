"""A real model in float32 says the same whether KV is plenty and each job has its own,
or so little that jobs are sent back, and shared by those that begin alike.

Under every policy, merged and mixed, whatever the parameters ask, on both executors.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.engine.status import Counters
from hotswap.llguidance_grammar import CompiledGrammar, Vocabulary
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.executor_choice import ModelExecutor
from hotswap.model.network.rows import Scored
from hotswap.sampling_params import SamplingParams
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES
from tests import tiny
from tests.engines import small_scheduler
from tests.hotswap.gpu.executors import adapters, executor_of, loaded

TOKENIZER = Tokenizer(tiny.tokenizer())
PLENTY, LITTLE = 1600, 144  # tokens of KV; the latter are of two jobs and a half
SYSTEM = "You are a pirate. Answer.\n"
QUESTIONS = ("Where?", "Where is she?", "Who?")
_LIST = {"type": "array", "items": {"enum": [1, 22, 333]}, "minItems": 9}
GRAMMAR = CompiledGrammar(
    Vocabulary(TOKENIZER, frozenset({tiny.EOS}), "field"),
    "json_schema",
    json.dumps(_LIST),
    "field",
)
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "sampled": {"temperature": 0.8, "top_p": 0.9, "seed": 3},
    "penalised": {"temperature": 0, "repetition_penalty": 1.3, "min_tokens": 8},
    "frequent": {"temperature": 0.9, "seed": 5, "frequency_penalty": 0.7},
    "banned": {"temperature": 0, "bad_words": ((101, 102), (7,))},
    "scored": {"temperature": 0.5, "seed": 8, "logprobs": 2},
    "prompt": {"temperature": 0, "prompt_logprobs": 1},
    "grammar": {"temperature": 0.9, "seed": 4, "grammar": GRAMMAR},
}


@dataclass(frozen=True)
class Ask:
    adapter: str
    question: str
    way: str
    tokens: int = 20  # of the answer

    @property
    def prompt(self) -> tuple[int, ...]:
        return tuple(TOKENIZER.encode(SYSTEM + self.question))

    @property
    def params(self) -> SamplingParams:
        return SamplingParams(max_tokens=self.tokens, ignore_eos=True, **WAYS[self.way])


KINDS = ["eager", pytest.param("gpu", marks=pytest.mark.slow)]
ASKS = [
    Ask(("", "a", "b")[(n + more) % 3], QUESTIONS[n % 3], way)
    for n, way in enumerate(WAYS)
    for more in range(2)
]


# After them answers are taken to be short, and too many are let in at once.
SHORT = [Ask(adapter, "", "greedy", 1) for adapter in ("", "a", "b")] * 4


@dataclass(frozen=True)
class Said:
    text: str
    tokens: tuple[int | None, ...]
    scored: tuple[Scored, ...]  # the answer's, then the prompt's
    cached: int

    def check(self, other: "Said") -> None:
        assert (self.text, self.tokens) == (other.text, other.tokens)
        for mine, theirs in zip(self.scored, other.scored, strict=True):
            assert mine.token == theirs.token
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-3)


@dataclass(frozen=True)
class Executors:
    by_kind: dict[str, ModelExecutor]
    generations: list[Generation]


@pytest.fixture(scope="module")
def executors(tmp_path_factory: pytest.TempPathFactory) -> Executors:
    gpu = executor_of(loaded(), slots=2, kv_tokens=PLENTY, max_batch=4)
    eager = EagerExecutor(loaded(), slots=2, kv_tokens=PLENTY)
    folder: Path = tmp_path_factory.mktemp("adapters")
    return Executors({"eager": eager, "gpu": gpu}, adapters(folder, gpu, 2))


async def answers(
    executor: ModelExecutor,
    generations: Sequence[Generation],
    asks: Sequence[Ask],
    policy: str,
    *,
    kv_tokens: int = PLENTY,
    prefix_cache: bool = False,
    rounds: int = 1,
) -> tuple[list[Said], Counters]:
    """All at once, four in a step; those of the last round."""
    scheduler = small_scheduler(
        POLICIES[policy](), kv_tokens=kv_tokens, block_tokens=executor.block_tokens
    )
    engine = Engine(
        executor,
        scheduler,
        Store(),
        TOKENIZER,
        eos=frozenset({tiny.EOS}),
        context=LITTLE,
        prefix_cache=prefix_cache,
        fetch=lambda name: None,
        compose=lambda order: None,
    )
    for name, generation in zip("ab", generations, strict=True):
        engine.post(Adopt(name, generation, Origin(src=name)))
    engine.start()
    try:
        await asyncio.gather(*[answer(engine, ask) for ask in SHORT])
        for _ in range(rounds):
            said = await asyncio.gather(*[answer(engine, ask) for ask in asks])
        await asyncio.wrap_future(engine.sync())
        return list(said), engine.status.counters
    finally:
        await asyncio.to_thread(engine.stop, 10)
        scheduler.check()


async def answer(engine: Engine, ask: Ask) -> Said:
    ticket = engine.open_ticket()
    engine.post(
        Submit(ticket=ticket, adapter=ask.adapter, prompt=ask.prompt, params=ask.params)
    )
    await ticket.accepted()
    pieces = [piece async for piece in ticket.pieces()]
    return Said(
        "".join(piece.text for piece in pieces),
        tuple(piece.token for piece in pieces),
        tuple(piece.scored for piece in pieces if piece.scored) + pieces[0].prompt,
        pieces[0].cached_tokens,
    )


@pytest.fixture(scope="module")
def plenty(executors: Executors) -> list[Said]:
    """What is said with KV for all, of which nobody finds any."""
    eager, generations = executors.by_kind["eager"], executors.generations
    said, counters = asyncio.run(answers(eager, generations, ASKS, "fcfs-mixed"))
    assert (counters.preemptions, counters.prefix_cache_queries) == (0, 0)
    return said


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_does_not_tell_what_was_sent_back_or_found(
    executors: Executors, plenty: list[Said], kind: str, policy: str
) -> None:
    executor = executors.by_kind[kind]

    found, counters = await answers(
        executor,
        executors.generations,
        ASKS,
        policy,
        kv_tokens=LITTLE,
        prefix_cache=True,
    )

    for said, right in zip(found, plenty, strict=True):
        said.check(right)
    assert counters.preemptions > 0
    assert counters.prefix_cache_hits > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_prompt_that_comes_again_is_found_by_blocks_but_for_its_last_token(
    executors: Executors, plenty: list[Said], kind: str
) -> None:
    executor = executors.by_kind[kind]
    asks, size = ASKS[:4], executor.block_tokens

    found, _ = await answers(
        *(executor, executors.generations, asks, "fcfs-merged"),
        prefix_cache=True,
        rounds=2,
    )

    for said, ask, right in zip(found, asks, plenty[:4], strict=True):
        said.check(right)
        length = len(ask.prompt)
        assert said.cached == min(length // size * size, length - 1)
