"""Steps of vLLM's executor: a job that comes again, scores, what sampling is told."""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import MixFailed, StepFailed
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.machine.kernels import Plain
from hotswap.model.network.loaded import Loaded
from hotswap.model.network.rows import Row, Scored
from hotswap.model.vllm.executor import VllmExecutor
from hotswap.sampling_params import SamplingParams
from tests import tiny
from tests.hotswap.test_sent_back import PROMPT, WAYS, sampled
from tests.vllm.asking import answers, merged, named
from tests.vllm.fixtures import CONTEXT, HEAD_DIM, KV_TOKENS, Served
from tests.vllm.test_answers import NAMES, PROMPTS, ask

# Greedy: the random numbers of vLLM and of our own sampler are not the same.
GREEDY: list[dict[str, Any]] = [
    {"logprobs": 4},
    {"logit_bias": ((5, 30.0), (17, -30.0))},
    {"bad_words": ((25, 66), (7,))},
    {"allowed_tokens": frozenset(range(40, 60))},
    {"repetition_penalty": 1.5},
    {"frequency_penalty": 1.0, "presence_penalty": 0.5},
    {"min_tokens": 10, "ignore_eos": False, "logit_bias": ((tiny.EOS, 50.0),)},
    {"prompt_logprobs": 3, "logprobs": 0},
]


@pytest.fixture(scope="module")
def ours(llama: Served) -> EagerExecutor:
    """Our own executor on the same model."""
    return EagerExecutor(
        Loaded(
            model=llama.base(),
            tokenizer=tiny.tokenizer(),
            name="llama",
            context=CONTEXT,
            eos=frozenset({tiny.EOS}),
            kernels=Plain(),
        ),
        slots=1,
        kv_tokens=KV_TOKENS,
    )


def check_scores(found: Sequence[Scored], right: Sequence[Scored]) -> None:
    for mine, theirs in zip(found, right, strict=True):
        assert (mine.token, mine.rank) == (theirs.token, theirs.rank)
        assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-2)
        assert [t for t, _ in mine.top] == [t for t, _ in theirs.top]
        likely = [[p for _, p in each.top] for each in (mine, theirs)]
        assert likely[0] == pytest.approx(likely[1], abs=1e-2)


@pytest.mark.parametrize("way", GREEDY, ids=str)
async def test_a_greedy_answer_is_our_own_executors(
    llama: Served, ours: EagerExecutor, way: dict[str, Any]
) -> None:
    asks = [ask(name, PROMPTS[n], 20, **way) for n, name in enumerate(NAMES)]

    found, _ = await answers(llama.executor, named(llama), asks)
    right, _ = await answers(ours, named(llama), asks)

    assert [each.tokens for each in found] == [each.tokens for each in right]
    for one, other in zip(found, right, strict=True):
        check_scores(one.scored, other.scored)
        check_scores(one.prompt, other.prompt)
    plain, _ = await answers(llama.executor, named(llama), [ask("", PROMPTS[0], 20)])
    changes_text = not {"logprobs", "prompt_logprobs"} & way.keys()
    assert (plain[0].tokens != found[0].tokens) == changes_text


@pytest.mark.parametrize("adapter", ["", "a1"])
async def test_log_probabilities_are_those_of_the_merged_models_logits(
    llama: Served, adapter: str
) -> None:
    """The answer's before any sampling parameter, and the prompt's."""
    asked = ask(adapter, PROMPTS[2], 6, seed=1, temperature=0.7, prompt_logprobs=2)
    asked = replace(asked, params=replace(asked.params, logprobs=3))

    (said,), _ = await answers(llama.executor, named(llama), [asked])

    text = [*asked.prompt, *(token for token in said.tokens if token is not None)]
    with torch.no_grad():
        logits = merged(llama, adapter)(input_ids=torch.tensor([text])).logits[0]
    likely = logits.log_softmax(-1)
    told = [*said.prompt, *said.scored]
    assert len(told) == len(text) - 1
    for place, each in enumerate(told):
        row = likely[place]
        assert each.token == text[place + 1]
        assert each.logprob == pytest.approx(float(row[each.token]), abs=1e-2)
        assert each.rank == int((row > row[each.token]).sum()) + 1
        count = len(each.top)
        assert [p for _, p in each.top] == pytest.approx(
            row.topk(count).values.tolist(), abs=1e-2
        )


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_samples_are_those_of_a_job_that_stayed(
    llama: Served, way: dict[str, Any]
) -> None:
    params = SamplingParams(**way)

    stayed = sampled(llama.executor, params, [])
    came_again = sampled(llama.executor, params, [1, 2, 17, 33])

    assert [s.token for s in came_again] == [s.token for s in stayed]


def test_nothing_is_kept_of_jobs_that_were_closed(llama: Served) -> None:
    executor = llama.executor
    sampled(executor, SamplingParams(temperature=0), [3])
    sampled(executor, SamplingParams(temperature=0), [])

    runner = executor._workers._executor.driver_worker.worker.model_runner
    assert executor._requests._jobs == {}
    assert (executor._params, executor._matchers) == ({}, {})
    assert len(runner.requests) <= 1  # it hears with the next step that the last ended


def test_a_mixed_step_is_refused_by_the_adapter_it_is_for(llama: Served) -> None:
    executor, generation = llama.executor, llama.generations[0]
    executor.open(1, SamplingParams(temperature=0), prompt=PROMPT)
    row = Row(
        job=1,
        tokens=PROMPT,
        position=0,
        generation=generation,
        wants_logits=True,
        blocks=array("i", [0]),
    )

    with pytest.raises(MixFailed, match=generation.key):
        executor.launch([row], mixed=True)

    executor.close(1)


def broken(executor: VllmExecutor, key: str) -> Generation:
    """One whose update is not a number."""
    out, inner = executor.layout.linear["model.layers.0.self_attn.o_proj"]
    delta = Delta(a=torch.full((1, inner), torch.nan), b=torch.ones(out, 1), scale=1.0)
    return executor.held(
        Generation(key=key, deltas={"model.layers.0.self_attn.o_proj": delta})
    )


async def test_logits_that_are_no_numbers_fail_their_jobs_alone(llama: Served) -> None:
    executor = llama.executor
    adapters = {**named(llama), "broken": broken(executor, "broken")}
    golden = executor.weights.checksum()
    right, _ = await answers(executor, named(llama), [ask("a0", PROMPTS[1])])

    with pytest.raises(StepFailed):
        await answers(executor, adapters, [ask("broken", PROMPTS[1])])
    after, _ = await answers(executor, adapters, [ask("a0", PROMPTS[1])])

    assert after[0].tokens == right[0].tokens
    assert executor.weights.checksum() == golden


def test_what_a_token_of_kv_takes_is_what_the_model_says(llama: Served) -> None:
    config = llama.base().config
    numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * HEAD_DIM

    assert llama.executor.memory.kv_token_bytes == 4 * numbers
