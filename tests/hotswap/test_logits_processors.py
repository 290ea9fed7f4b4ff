"""What parameters make of logits is what transformers' processors make of them, step
after step, in any batch."""

import random
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hotswap.model.network.past_tokens import PastTokens
from hotswap.model.network.sampler import Sampler
from hotswap.model.network.sampling import sample
from hotswap.model.network.sampling_rows import SamplingRows
from hotswap.sampling_params import SamplingParams
from tests.hotswap import sampling_oracle as oracle

VOCAB = 12
STEPS = 5
CPU = torch.device("cpu")
tokens = st.integers(0, VOCAB - 1)
params = st.fixed_dictionaries(
    {"seed": st.integers(0, 99)},
    optional={
        "temperature": st.sampled_from([0.0, 0.7, 1.5]),
        "top_k": st.integers(0, VOCAB + 2),
        "top_p": st.sampled_from([0.3, 0.9, 1.0]),
        "min_p": st.sampled_from([0.0, 0.05, 0.4, 1.0]),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "repetition_penalty": st.floats(0.3, 2),
        "logit_bias": st.dictionaries(tokens, st.floats(-5, 5), max_size=4).map(
            lambda found: tuple(found.items())
        ),
        "min_tokens": st.integers(0, STEPS),
        "bad_words": st.lists(
            st.lists(tokens, min_size=1, max_size=3).map(tuple), max_size=6, unique=True
        ).map(tuple),
        "allowed_tokens": st.frozensets(tokens, min_size=4),
    },
)
jobs = st.tuples(
    params, st.lists(tokens, min_size=1, max_size=6), st.frozensets(tokens, max_size=2)
)


def sampler(
    given: dict[str, Any],
    prompt: list[int] | None = None,
    ends: frozenset[int] = frozenset(),
    past: PastTokens | None = None,
) -> Sampler:
    prompt = prompt or []
    return Sampler(
        SamplingParams(**given),
        prompt=prompt,
        ends=ends,
        past_tokens=past or PastTokens(CPU),
    )


def tokens_of(
    logits: torch.Tensor, samplers: list[Sampler], mask: torch.Tensor | None = None
) -> list[int]:
    rows = SamplingRows.of(samplers)
    found = sample(logits, rows, mask).samples(rows)
    return [each.token for each in found if each is not None]


@settings(deadline=None, max_examples=40)
@given(st.lists(jobs, min_size=1, max_size=5), st.integers(0, 1000), st.booleans())
def test_each_token_is_the_one_that_transformers_processors_give(
    jobs: list[tuple[dict[str, Any], list[int], frozenset[int]]],
    seed: int,
    masked: bool,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    past = PastTokens(CPU)
    samplers = [sampler(*job, past) for job in jobs]
    twins = [sampler(*job) for job in jobs]
    uniforms = [random.Random(params["seed"]) for params, *_ in jobs]
    outputs: list[list[int]] = [[] for _ in jobs]
    for _ in range(STEPS):
        logits = torch.randn(len(jobs), VOCAB, generator=generator) * 3
        mask = torch.rand(logits.shape, generator=generator) < 0.8 if masked else None
        wanted = [
            oracle.processed(
                row,
                SamplingParams(**params),
                prompt=prompt,
                output=output,
                ends=ends,
                mask=None if mask is None else mask[n],
            )
            for n, (row, output, (params, prompt, ends)) in enumerate(
                zip(logits, outputs, jobs, strict=True)
            )
        ]
        assume(all(scores.isfinite().any() for scores in wanted))

        found = tokens_of(logits, samplers, mask)

        for n, (token, scores) in enumerate(zip(found, wanted, strict=True)):
            how = samplers[n].params
            uniform = 0.0 if samplers[n].is_greedy else uniforms[n].random()
            oracle.check_token(token, scores, how, uniform)
            alone = mask if mask is None else mask[n : n + 1]
            assert tokens_of(logits[n : n + 1], [twins[n]], alone) == [token]
            outputs[n].append(token)


@settings(deadline=None, max_examples=30)
@given(st.lists(jobs, min_size=1, max_size=4), st.integers(0, 1000))
def test_processed_logits_are_transformers_to_a_ten_thousandth(
    jobs: list[tuple[dict[str, Any], list[int], frozenset[int]]], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    past = PastTokens(CPU)
    samplers = [sampler(*job, past) for job in jobs]
    outputs: list[list[int]] = [[] for _ in jobs]
    for _ in range(STEPS):
        logits = torch.randn(len(jobs), VOCAB, generator=generator) * 3
        raw = logits.clone()
        wanted = [
            oracle.processed(
                row, SamplingParams(**params), prompt=prompt, output=output, ends=ends
            )
            for row, output, (params, prompt, ends) in zip(
                logits, outputs, jobs, strict=True
            )
        ]
        assume(all(scores.isfinite().any() for scores in wanted))

        rows = SamplingRows.of(samplers)
        own = logits
        if rows.processors is not None:
            own = rows.processors.processed(logits, None)

        torch.testing.assert_close(own, torch.stack(wanted), atol=1e-4, rtol=0)
        assert torch.equal(logits, raw), "the model's own logits were changed"
        for output, token in zip(outputs, sample(logits, rows).tokens, strict=True):
            output.append(int(token))


def greedy(row: list[float], *steps: int, **given: Any) -> list[int]:
    """Tokens of so many steps over the same logits."""
    one = sampler({"temperature": 0, **given}, ends=frozenset({0}))
    return [tokens_of(torch.tensor([row]), [one])[0] for _ in range(*steps)]


def test_a_word_of_several_tokens_is_met_only_in_the_output() -> None:
    row = [0.0, 3.0, 2.0, 1.0]

    assert greedy(row, 4, bad_words=((1, 1),)) == [1, 2, 1, 2]
    assert greedy(row, 5, bad_words=((1, 1), (2, 1, 2), (2, 2))) == [1, 2, 1, 3, 1]
    for penalty in (1.0, 1.1):  # the past holds the prompt only with a penalty
        way = {"bad_words": ((2, 1),), "repetition_penalty": penalty}
        spans_prompt = sampler({"temperature": 0, **way}, [2])
        assert tokens_of(torch.tensor([row]), [spans_prompt]) == [1]


def test_nothing_ends_an_answer_before_it_has_its_fewest_tokens() -> None:
    assert greedy([3.0, 2.0], 4, min_tokens=2) == [1, 1, 0, 0]


def test_what_would_leave_no_token_is_passed_over_in_the_order_of_bans() -> None:
    row = [4.0, 3.0, 2.0, 1.0]
    mask = torch.tensor([[False, True, True, False]])

    def masked(**given: Any) -> int:
        one = sampler({"temperature": 0, **given}, ends=frozenset({1, 2}))
        return tokens_of(torch.tensor([row]), [one], mask)[0]

    assert masked(allowed_tokens=frozenset({0, 3})) == 1  # the grammar's is the first
    assert masked(allowed_tokens=frozenset({2}), bad_words=((2,),)) == 2
    assert masked(min_tokens=3) == 1
    assert masked(bad_words=((1,),), min_tokens=3) == 2
    assert greedy(row, 1, allowed_tokens=frozenset({99})) == [0]
    empty = torch.zeros_like(mask)
    assert tokens_of(torch.tensor([row]), [sampler({"temperature": 0})], empty) == [0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_allowed_token_is_sampled_however_unlikely_it_is(temperature: float) -> None:
    row = torch.tensor([[5.0, -torch.inf, 3.0]])
    ways: list[dict[str, Any]] = [
        {"allowed_tokens": frozenset({1})},
        {"allowed_tokens": frozenset({1}), "logit_bias": ((1, -100.0),)},
        {"allowed_tokens": frozenset({1}), "repetition_penalty": 2.0},
        {"bad_words": ((0,), (2,)), "top_k": 2},
        {"bad_words": ((0,), (2,)), "min_p": 1.0, "top_p": 0.5},
        {"bad_words": ((0,), (2,)), "min_p": 1.0},
    ]

    for way in ways:
        one = sampler({"temperature": temperature, "seed": 1, **way}, [1, 2])
        assert tokens_of(row, [one]) == [1], way


def test_tokens_that_the_model_does_not_have_change_nothing() -> None:
    beyond = {
        "logit_bias": ((4, 9.0), (1, 5.0)),
        "bad_words": ((7,), (1, 9)),
        "allowed_tokens": frozenset({1, 2, 50}),
    }

    assert greedy([3.0, 2.0, 1.0], 2, **beyond) == [1, 1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("top_k", [0, 5])
def test_a_penalty_that_no_float_holds_breaks_no_ban(
    temperature: float, top_k: int
) -> None:
    allowed = torch.arange(VOCAB) < 6
    how = {"repetition_penalty": 1e-45, "temperature": temperature, "top_k": top_k}
    one = sampler({**how, "seed": 1}, [1, 2, 9], frozenset(), PastTokens(CPU))
    for _ in range(STEPS):
        (token,) = tokens_of(torch.linspace(-3, 4, VOCAB)[None], [one], allowed[None])

        assert token < 6
