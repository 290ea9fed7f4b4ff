"""Scores of prompts: transformers' and PEFT's own, however the prompt is computed."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.model.network import prompt_scores
from hotswap.model.network.rows import Row, Sample, Scored, own_blocks
from hotswap.sampling_params import SamplingParams
from tests import tiny
from tests.hotswap.gpu.executors import executor_of, loaded
from tests.hotswap.test_parity import make_runner

PROMPT = tuple((7 * n) % 250 + 3 for n in range(40))
TOP = 3
ASKS = SamplingParams(temperature=0, prompt_logprobs=TOP, logprobs=0)
PLAIN = SamplingParams(temperature=0, logprobs=0)
MODES = [(None, False), ("adapter", False), ("adapter", True), (None, True)]

Executor = Any  # an EagerExecutor, or a GpuExecutor


def chunks_of(prompt: Sequence[int], cuts: Sequence[int]) -> list[tuple[int, int]]:
    edges = sorted({0, *(cut for cut in cuts if cut < len(prompt)), len(prompt)})
    return list(pairwise(edges))


def row_of(
    job: int,
    prompt: Sequence[int],
    chunk: tuple[int, int],
    of: Generation | None,
    *,
    asks: bool,
) -> Row:
    start, end = chunk
    return Row(
        job=job,
        tokens=prompt[start:end],
        position=start,
        generation=of,
        wants_logits=end == len(prompt),
        targets=prompt[start + 1 : end + 1] if asks else (),
        blocks=own_blocks(job, len(prompt) + 1),
    )


def first_sample(
    executor: Executor,
    of: Generation | None,
    cuts: Sequence[int],
    *,
    mixed: bool,
    beside: bool = False,
) -> tuple[Sample, Sample | None]:
    """Of a job that asks; and of one that does not, in the same steps."""
    executor.weights.activate(None if mixed else of)
    executor.open(1, ASKS, prompt=PROMPT)
    executor.open(2, PLAIN, prompt=PROMPT)
    found: list[Sample | None] = []
    for chunk in chunks_of(PROMPT, cuts):
        rows = [row_of(1, PROMPT, chunk, of, asks=True)]
        if beside:
            rows.append(row_of(2, PROMPT, chunk, of, asks=False))
        found = executor.land(executor.launch(rows, mixed=mixed))
    executor.close(1)
    executor.close(2)
    assert found[0] is not None
    return found[0], found[1] if beside else None


def check(prompt: Sequence[Scored], logits: torch.Tensor) -> None:
    """Against the logits [tokens, vocab] of the whole prompt at once."""
    logprobs = logits.log_softmax(-1)
    assert [each.token for each in prompt] == list(PROMPT[1:])
    for each, row in zip(prompt, logprobs, strict=False):
        assert each.logprob == pytest.approx(float(row[each.token]), abs=1e-4)
        rank = int((row > row[each.token] + 1e-4).sum()) + 1
        assert rank <= each.rank <= int((row > row[each.token] - 1e-4).sum()) + 1
        likeliest = row.topk(TOP).values.tolist()
        told = [logprob for _, logprob in each.top]
        assert told == pytest.approx(likeliest, abs=1e-4)
        for token, logprob in each.top:
            assert logprob == pytest.approx(float(row[token]), abs=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_adapter(
        tmp_path_factory.mktemp("a") / "a", "llama", 3, strength=1.5, r=4
    )


@pytest.fixture(scope="module")
def wanted(folder: Path) -> dict[str | None, torch.Tensor]:
    """Logits of transformers, and of PEFT with the adapter."""
    ids = torch.tensor([PROMPT])
    with torch.inference_mode():
        bare = tiny.model("llama")(ids).logits[0]
        own = PeftModel.from_pretrained(tiny.model("llama"), folder)
        return {None: bare, "adapter": own.eval()(ids).logits[0]}


@pytest.fixture(scope="module", params=["eager", "gpu"])
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param == "eager":
        return make_runner("llama")
    return executor_of(loaded(), max_batch=4)


@pytest.mark.parametrize(("name", "mixed"), MODES)
def test_they_are_those_of_the_whole_prompt_at_once(
    executor: Executor,
    folder: Path,
    wanted: dict[str | None, torch.Tensor],
    name: str | None,
    mixed: bool,
) -> None:
    of = read(folder, executor.layout) if name else None

    for cuts in ([], [1], [39], [7, 8, 20]):
        sample, _ = first_sample(executor, of, cuts, mixed=mixed)

        check(sample.prompt, wanted[name])
        assert sample.scored is not None
        last = wanted[name][-1].log_softmax(-1)
        assert sample.scored.logprob == pytest.approx(float(last.max()), abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 39), max_size=6), slices=st.integers(1, 50))
def test_chunks_and_slices_change_nothing(
    wanted: dict[str | None, torch.Tensor], cuts: list[int], slices: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prompt_scores, "_SLICE", slices)
        sample, beside = first_sample(
            make_runner("llama"), None, cuts, mixed=False, beside=True
        )

    check(sample.prompt, wanted[None])
    assert beside is not None
    assert not beside.prompt
    assert beside.token == sample.token


@pytest.mark.parametrize("architecture", ["gpt2", "gemma2", "bloom"])
def test_any_forward_pass_scores_a_prompt(architecture: str) -> None:
    with torch.inference_mode():
        logits = tiny.model(architecture)(torch.tensor([PROMPT])).logits[0]

    sample, _ = first_sample(make_runner(architecture), None, [13], mixed=False)

    check(sample.prompt, logits)


def test_a_step_that_comes_again_scores_once(
    executor: Executor, wanted: dict[str | None, torch.Tensor]
) -> None:
    """As after another job's adapter could not be mixed; cut in another place."""
    executor.weights.activate(None)
    executor.open(1, ASKS, prompt=PROMPT)
    for chunk in ((0, 20), (0, 20), (0, 7), (7, 40)):
        row = row_of(1, PROMPT, chunk, None, asks=True)
        found = executor.land(executor.launch([row], mixed=False))
    executor.close(1)

    check(found[0].prompt, wanted[None])


def test_a_job_that_is_closed_in_the_air_has_its_scores(executor: Executor) -> None:
    executor.weights.activate(None)
    executor.open(1, ASKS, prompt=PROMPT)
    row = row_of(1, PROMPT, (0, 40), None, asks=True)
    flight = executor.launch([row], mixed=False)
    executor.close(1)

    (sample,) = executor.land(flight)

    assert len(sample.prompt) == len(PROMPT) - 1


def test_what_a_job_that_left_was_scored_is_nobody_elses(executor: Executor) -> None:
    executor.weights.activate(None)
    executor.open(1, ASKS, prompt=PROMPT)
    executor.land(
        executor.launch([row_of(1, PROMPT, (0, 20), None, asks=True)], mixed=False)
    )
    executor.close(1)

    sample, _ = first_sample(executor, None, [], mixed=False)

    assert len(sample.prompt) == len(PROMPT) - 1
