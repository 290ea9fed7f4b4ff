"""Through the engine, answers on vLLM's executor are those of PEFT's merged models."""

import asyncio
import re
from typing import Any

import pytest

from hotswap.llguidance_grammar import CompiledGrammar, Vocabulary
from hotswap.sampling_params import SamplingParams
from tests import tiny
from tests.vllm.asking import (
    TOKENIZER,
    Ask,
    answer,
    answers,
    greedy,
    merged,
    named,
    running,
    submit,
)
from tests.vllm.fixtures import Served

PROMPTS = tuple(
    tuple((step * i) % 250 + 1 for i in range(length))
    for step, length in ((7, 1), (3, 31), (11, 33), (5, 150), (13, 64))
)
NAMES = ("", "a0", "a1", "a2")
LITTLE = 192  # tokens of KV: six blocks
HELD_TO = r"\[(1|22|333)(,(1|22|333)){8,20}\]"
GRAMMAR = CompiledGrammar(
    Vocabulary(TOKENIZER, frozenset({tiny.EOS}), "field"), "regex", HELD_TO, "field"
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


def ask(adapter: str, prompt: tuple[int, ...], tokens: int = 12, **params: Any) -> Ask:
    way = {"temperature": 0, "ignore_eos": True, "max_tokens": tokens, **params}
    return Ask(adapter, prompt, SamplingParams(**way))


@pytest.fixture(params=["llama", "qwen2"])
def served(request: pytest.FixtureRequest) -> Served:
    found: Served = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def wanted() -> dict[Any, list[int]]:
    """PEFT's answers, by model, adapter and prompt."""
    return {}


def right(served: Served, wanted: dict[Any, list[int]], asked: Ask) -> list[int]:
    key = served.architecture, asked.adapter, asked.prompt
    if key not in wanted:
        wanted[key] = greedy(merged(served, asked.adapter), asked.prompt, 12)
    return wanted[key]


@pytest.mark.parametrize("policy", ["affinity", "fcfs-merged", "fcfs-mixed"])
async def test_several_adapters_at_once_say_what_peft_says(
    served: Served, wanted: dict[Any, list[int]], policy: str
) -> None:
    """Prompts in chunks of eight tokens; jobs are parked while others have a turn."""
    asks = [ask(name, prompt) for prompt in PROMPTS for name in NAMES]

    said, counters = await answers(served.executor, named(served), asks, policy)

    assert [list(each.tokens) for each in said] == [
        right(served, wanted, each) for each in asks
    ]
    assert counters.preemptions == 0


async def test_an_answer_does_not_tell_what_was_sent_back_or_found(
    llama: Served,
) -> None:
    """With little KV, and blocks that are shared, every way of sampling says the same:
    tokens, log-probabilities, scores of the prompt."""
    asks = [
        ask(NAMES[n % 3], PROMPTS[1 + n % 2], 40, **way)
        for n, way in enumerate(WAYS.values())
        for _ in range(2)
    ]
    adapters = named(llama)
    plenty, _ = await answers(llama.executor, adapters, asks, "fcfs-merged")

    found, counters = await answers(
        llama.executor, adapters, asks, kv_tokens=LITTLE, prefix_cache=True, rounds=2
    )

    for one, other in zip(found, plenty, strict=True):
        assert one.tokens == other.tokens
        for mine, theirs in zip(
            one.scored + one.prompt, other.scored + other.prompt, strict=True
        ):
            assert mine.token == theirs.token
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-3)
    assert counters.preemptions > 0
    assert counters.prefix_cache_hits > 0


async def test_a_grammar_holds_in_every_adapter(llama: Served) -> None:
    asks = [
        ask(name, PROMPTS[1], 80, ignore_eos=False, **WAYS["grammar"]) for name in NAMES
    ]

    said, _ = await answers(llama.executor, named(llama), asks)

    assert all(re.fullmatch(HELD_TO, each.text) for each in said)
    assert len({each.text for each in said}) == len(NAMES)


async def test_a_seed_says_the_same_alone_and_among_others(llama: Served) -> None:
    asked = ask("a1", PROMPTS[3], 20, temperature=1.0, seed=11)
    others = [ask(name, prompt) for name in NAMES for prompt in PROMPTS[1:]]
    alone, _ = await answers(llama.executor, named(llama), [asked])

    among, _ = await answers(llama.executor, named(llama), [*others, asked, *others])
    other, _ = await answers(
        llama.executor,
        named(llama),
        [ask("a1", PROMPTS[3], 20, temperature=1.0, seed=12)],
    )

    assert among[len(others)].tokens == alone[0].tokens
    assert other[0].tokens != alone[0].tokens


async def test_who_leaves_takes_nobodys_tokens(
    llama: Served, wanted: dict[Any, list[int]]
) -> None:
    asks = [ask(name, prompt) for name in NAMES for prompt in PROMPTS[:3]]
    async with running(llama.executor, named(llama)) as engine:
        leaving = [
            submit(engine, ask(name, PROMPTS[3], 100)) for name in (*NAMES, *NAMES)
        ]
        staying = [asyncio.ensure_future(answer(engine, each)) for each in asks]
        for ticket in leaving:
            await ticket.accepted()
        async for _ in leaving[0].pieces():
            break
        for ticket in leaving:
            ticket.close()
        said = await asyncio.gather(*staying)

    assert [list(each.tokens) for each in said] == [
        right(llama, wanted, each) for each in asks
    ]
