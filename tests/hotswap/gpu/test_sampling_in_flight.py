"""What looks back at sampled tokens sees those that the host has not seen yet, on both
executors; and log-probabilities land with the tokens."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.network.rows import Row, Sample, own_blocks
from hotswap.sampling_params import SamplingParams
from tests.hotswap import sampling_oracle as oracle
from tests.hotswap.gpu.executors import CPU, PROMPT, Client, executor_of, loaded

STEPS = 8
Ask = tuple[list[int], SamplingParams]


def asks(executor: GpuExecutor) -> list[Ask]:
    """Prompts and parameters; what is forbidden is what would have been sampled."""
    prompts = [PROMPT[n % 5 :] for n in range(11)]
    (plain,) = Client(executor).answers([(prompts[0], None)], STEPS)
    pairs = tuple(pairwise(plain))
    triples = tuple(zip(plain, plain[1:], plain[2:], strict=False))
    ways: list[dict[str, Any]] = [
        {"bad_words": pairs[:3]},
        {"repetition_penalty": 1.8},
        {"presence_penalty": 1.5, "frequency_penalty": 1.1, "logprobs": 3},
        {"seed": 3, "temperature": 1.0, "repetition_penalty": 0.6, "logprobs": 40},
        {"seed": 4, "temperature": 1.2, "frequency_penalty": -1.0, "top_k": 9},
        {"bad_words": (*triples, (plain[0],)), "logprobs": 0},
        {"stop_tokens": frozenset(plain), "min_tokens": 3},
        {"logit_bias": ((7, 9.0), (plain[1], -9.0)), "presence_penalty": 2.0},
        {"seed": 5, "temperature": 0.9, "min_p": 0.1, "logprobs": 300},
        {"allowed_tokens": frozenset(range(40, 60)), "repetition_penalty": 1.2},
        {},
    ]
    params = [SamplingParams(**{"temperature": 0.0, **way}) for way in ways]
    return list(zip(prompts, params, strict=True))


def samples(
    executor: GpuExecutor | EagerExecutor, asks: Sequence[Ask], *, ahead: bool = False
) -> list[list[Sample]]:
    """Of each job, all in one batch. `ahead`: each step is launched before the last one
    has landed."""
    found: list[list[Sample]] = [[] for _ in asks]
    for job, (prompt, params) in enumerate(asks):
        ends = params.stop_tokens
        executor.open(job, params, prompt=prompt, ends=ends)
    flights: list[Any] = []
    for step in range(STEPS):
        rows = []
        for job, (prompt, _) in enumerate(asks):
            new: list[int] | None = prompt
            if step:
                new = None if ahead else [found[job][-1].token]
            at = len(prompt) + step - 1 if step else 0
            rows.append(one_row(job, new, at))
        flights.append(executor.launch(rows, mixed=False))
        if not ahead or step:
            take(executor.land(flights.pop(0)), found)
    for flight in flights:
        take(executor.land(flight), found)
    for job in range(len(asks)):
        executor.close(job)
    return found


def take(landed: list[Sample | None], into: list[list[Sample]]) -> None:
    for each, sample in zip(into, landed, strict=True):
        assert sample is not None
        each.append(sample)


def test_launching_ahead_changes_nothing_that_looks_back(device: torch.device) -> None:
    executor = executor_of(loaded(place=device))
    wanted = asks(executor)

    assert samples(executor, wanted, ahead=True) == samples(executor, wanted)


def test_each_sample_in_flight_is_what_transformers_processors_give(
    device: torch.device,
) -> None:
    executor = executor_of(loaded(place=device))
    wanted = asks(executor)

    found = samples(executor, wanted, ahead=True)

    for (prompt, params), row in zip(wanted, found, strict=True):
        uniforms = random.Random(params.seed)
        output: list[int] = []
        executor.open(0, SamplingParams())
        for sample in row:
            text = one_row(0, prompt + output)
            logits = executor.forward([text], mixed=False)[0].cpu()
            scores = oracle.processed(
                logits, params, prompt=prompt, output=output, ends=params.stop_tokens
            )
            uniform = uniforms.random() if params.temperature else 0.0
            oracle.check_token(sample.token, scores, params, uniform)
            check_scored(sample, logits, params.logprobs)
            output.append(sample.token)
        executor.close(0)


def check_scored(sample: Sample, logits: torch.Tensor, count: int | None) -> None:
    if count is None:
        assert sample.scored is None
        return
    assert sample.scored is not None
    ranked = oracle.top(logits, len(logits))
    places = {token: place for place, (token, _) in enumerate(ranked)}
    own, top = sample.scored, sample.scored.top
    assert own.token == sample.token
    assert own.logprob == pytest.approx(ranked[places[own.token]][1], abs=1e-4)
    assert own.rank == (places[own.token] + 1 if count else 0)
    assert [token for token, _ in top] == [token for token, _ in ranked[:count]]
    likely = [logprob for _, logprob in ranked[:count]]
    assert [logprob for _, logprob in top] == pytest.approx(likely, abs=1e-4)


def test_both_executors_sample_the_same_tokens(device: torch.device) -> None:
    gpu = executor_of(loaded(place=device))
    wanted = asks(gpu)

    ahead = samples(gpu, wanted, ahead=True)

    eager = EagerExecutor(loaded(place=CPU), slots=1, kv_tokens=512)
    for one, other in zip(ahead, samples(eager, wanted), strict=True):
        assert [s.token for s in one] == [s.token for s in other]
        ranks = [[s.scored and s.scored.rank for s in each] for each in (one, other)]
        assert ranks[0] == ranks[1]


def test_places_of_past_tokens_change_hands_beneath_flights_in_the_air(
    device: torch.device,
) -> None:
    """Jobs end and others come while steps are in the air: they get their places."""
    executor = executor_of(loaded(place=device), kv_tokens=48)
    params = SamplingParams(temperature=0, repetition_penalty=0.2)  # repeats
    wanted = [s.token for s in samples(executor, [(PROMPT, params)])[0]]
    executor.open(0, params, prompt=[5] * 10)
    executor.open(1, params, prompt=PROMPT)
    rows = [one_row(0, [5] * 10, room=16), one_row(1, PROMPT, room=16)]
    flights = [executor.launch(rows, mixed=False)]

    executor.close(0)
    executor.open(2, params, prompt=PROMPT)
    for step in range(6):
        rows = [
            one_row(1, None, 10 + step, room=16),
            one_row(2, None, 9 + step, room=16),
        ]
        if not step:
            rows[1] = one_row(2, PROMPT, room=16)
        flights.append(executor.launch(rows, mixed=False))

    landed = [[s.token for s in executor.land(each) if s] for each in flights]
    assert [landed[0][1], *(row[0] for row in landed[1:])] == wanted[:7]
    assert [row[1] for row in landed[1:]] == wanted[:6]


def one_row(
    job: int, tokens: list[int] | None, position: int = 0, *, room: int = 32
) -> Row:
    return Row(
        job=job,
        tokens=tokens,
        position=position,
        generation=None,
        wants_logits=True,
        blocks=own_blocks(job, room),
    )
