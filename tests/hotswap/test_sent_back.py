"""A job that was sent back samples on exactly where it was: on both executors."""

from array import array
from collections.abc import Sequence
from typing import Any

import pytest

from hotswap.model.network.rows import Row, Sample
from hotswap.sampling_params import SamplingParams
from tests import tiny
from tests.hotswap.gpu.executors import executor_of, loaded
from tests.hotswap.test_parity import make_runner

PROMPT = [(7 * n) % 250 + 3 for n in range(20)]
STEPS = 40  # past tokens of its kind get a larger place meanwhile
WAYS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 1.0, "seed": 3, "top_k": 20, "logprobs": 2},
    {"temperature": 0.8, "seed": 4, "repetition_penalty": 1.5},
    {"temperature": 0, "frequency_penalty": 1.0, "presence_penalty": 0.5},
    {"temperature": 0, "bad_words": ((5, 6), (7,)), "min_tokens": 30},
]

Executor = Any  # an EagerExecutor, or a GpuExecutor


@pytest.fixture(scope="module", params=["llama", "gemma2", "on graphs"])
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param == "on graphs":
        return executor_of(loaded(), max_batch=4)
    return make_runner(request.param)


def row(tokens: Sequence[int], position: int, table: list[int], stop: int) -> Row:
    return Row(
        job=1,
        tokens=tokens,
        position=position,
        generation=None,
        wants_logits=position + len(tokens) == stop,
        blocks=array("i", table),
    )


def sampled(
    executor: Executor, params: SamplingParams, sent_back: Sequence[int]
) -> list[Sample]:
    """Of a job that is sent back after so many samples: all its tokens come again, in
    two chunks and in other blocks."""
    executor.open(1, params, prompt=PROMPT, ends=frozenset({tiny.EOS}))
    text, table, at = list(PROMPT), [3, 4, 5, 6], 0
    found: list[Sample] = []
    while len(found) < STEPS:
        chunks = [text[at:]]
        if len(found) in sent_back:
            at, table = 0, [(block + 5) % 20 for block in reversed(table)]
            chunks = [text[:17], text[17:]]
        for chunk in chunks:
            flight = executor.launch([row(chunk, at, table, len(text))], mixed=False)
            landed = executor.land(flight)
            at += len(chunk)
        assert landed[0] is not None
        found.append(landed[0])
        text.append(landed[0].token)
    executor.close(1)
    return found


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_its_samples_are_those_of_a_job_that_stayed(
    executor: Executor, way: dict[str, Any]
) -> None:
    params = SamplingParams(**way)

    stayed = sampled(executor, params, [])
    came_again = sampled(executor, params, [1, 2, 17, 33])

    assert [s.token for s in came_again] == [s.token for s in stayed]
    ranks = [
        [s.scored and s.scored.rank for s in each] for each in (stayed, came_again)
    ]
    assert ranks[0] == ranks[1]


def test_its_prompt_is_scored_once(executor: Executor) -> None:
    """Though it is sent back in the midst of it, and again when all was told."""
    params = SamplingParams(temperature=0, prompt_logprobs=2)
    executor.open(1, params, prompt=PROMPT)
    scored = []
    asking = [(0, 9), (9, 16), (0, 13), (13, 20)]
    chunks = [*((*each, True) for each in asking), (0, 17, False), (17, 20, False)]
    for start, stop, asks in chunks:
        part = Row(
            job=1,
            tokens=PROMPT[start:stop],
            position=start,
            generation=None,
            wants_logits=stop == len(PROMPT),
            blocks=array("i", [3, 1]),
            targets=PROMPT[start + 1 : stop + 1] if asks else (),
        )
        scored += executor.land(executor.launch([part], mixed=False))
    executor.close(1)

    first, second = scored
    assert [each.token for each in first.prompt] == PROMPT[1:]
    assert second.prompt == ()
    assert second.token == first.token
