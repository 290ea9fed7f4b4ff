"""Every format that PEFT makes: on vLLM's executor it is what PEFT makes of it, or it
is refused with the reason; and golden is what it was, after any history.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.errors import AdapterRefused, MergeFailed
from hotswap.model.network.rows import Scored
from tests import tiny
from tests.formats import FORMATS
from tests.peft_format import Format
from tests.vllm.asking import answers, merged, named
from tests.vllm.fixtures import HEAD_DIM, Served, served
from tests.vllm.test_answers import NAMES, PROMPTS, ask

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes the adapter

HERE = [
    replace(each, head_dim=HEAD_DIM)
    for each in FORMATS
    if each.architecture in ("llama", "qwen2") and not each.tied
]
# vLLM's logits are as many as the model was loaded with.
GROWN = "vLLM's stays as large"
REFUSED = {each.name: GROWN for each in HERE if each.grown}


def scores(found: Served, generation: Generation | None) -> list[Scored]:
    """Of a prompt, by an adapter: its logits, as far as they can be seen."""
    adapters = {"it": generation} if generation else {}
    asked = ask("it" if generation else "", PROMPTS[4], 1, prompt_logprobs=20)
    (said,), _ = asyncio.run(answers(found.executor, adapters, [asked]))
    return list(said.prompt)


@torch.no_grad()
def check(model: torch.nn.Module, found: list[Scored]) -> None:
    logits = model(input_ids=torch.tensor([PROMPTS[4]])).logits[0]
    likely = logits[:-1].log_softmax(-1)
    assert len(found) == len(likely)
    for row, each in zip(likely, found, strict=True):
        tokens = [each.token, *(token for token, _ in each.top)]
        told = [each.logprob, *(logprob for _, logprob in each.top)]
        torch.testing.assert_close(
            torch.tensor(told), row[tokens], atol=5e-3, rtol=1e-3
        )


@pytest.mark.parametrize("given", [pytest.param(each, id=each.name) for each in HERE])
def test_a_format_is_what_peft_makes_of_it_or_is_refused(
    given: Format, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found: Served = request.getfixturevalue(given.architecture)
    given.write(tmp_path)
    golden = found.executor.weights.checksum()

    if given.name in REFUSED:
        with pytest.raises(AdapterRefused, match=REFUSED[given.name]):
            found.executor.held(read(tmp_path, found.executor.layout))
        return
    generation = found.executor.held(read(tmp_path, found.executor.layout))
    told = scores(found, generation)

    check(given.loaded(tmp_path), told)
    bare = scores(found, None)
    assert (
        max(abs(a.logprob - b.logprob) for a, b in zip(told, bare, strict=True)) > 0.02
    )
    assert found.executor.weights.checksum() == golden


def test_golden_is_what_it_was_after_a_thousand_swaps(llama: Served) -> None:
    weights, generations = llama.executor.weights, llama.generations
    golden, before = weights.checksum(), scores(llama, None)

    for number in range(1000):
        weights.activate(generations[number * 7 % 3] if number % 4 else None)

    assert weights.checksum() == golden
    assert scores(llama, None) == before


class Failing:
    """A rewrite that cannot be made."""

    rank = 0
    tensors: tuple[torch.Tensor, ...] = ()

    def is_difference(self, golden: Any) -> bool:
        return False

    def __call__(self, golden: Any) -> Any:
        raise RuntimeError("cannot be made")


async def test_a_merge_that_fails_fails_its_adapter_alone(llama: Served) -> None:
    executor = llama.executor
    rewrites: Any = {"model.layers.0.self_attn.o_proj": Failing()}
    failing = executor.held(Generation(key="failing", deltas={}, rewrites=rewrites))
    golden = executor.weights.checksum()
    asks = [ask(name, PROMPTS[1]) for name in NAMES]
    right, _ = await answers(executor, named(llama), asks)

    with pytest.raises(MergeFailed, match="cannot be made"):
        await answers(
            executor, {**named(llama), "failing": failing}, [ask("failing", PROMPTS[1])]
        )
    after, _ = await answers(executor, named(llama), asks)

    assert after == right
    assert executor.weights.checksum() == golden


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Its head is its embedding."""
    with served(tmp_path_factory.mktemp("tied"), "llama", tied=True) as found:
        yield found


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_an_end_that_is_tied_to_the_other_is_refused_by_name(
    tied: Served, target: str, tmp_path: Path
) -> None:
    tiny.save_adapter(
        tmp_path,
        "llama",
        seed=1,
        tied=True,
        head_dim=HEAD_DIM,
        target_modules=["q_proj", target],
    )

    with pytest.raises(AdapterRefused, match=f"{target}: vLLM has no place for it"):
        tied.executor.held(read(tmp_path, tied.executor.layout))


async def test_a_tied_model_says_what_peft_says(tied: Served) -> None:
    asks = [ask(name, PROMPTS[1]) for name in NAMES]

    for each in asks:
        generation = None if not each.adapter else named(tied)[each.adapter]
        check(merged(tied, each.adapter), scores(tied, generation))
