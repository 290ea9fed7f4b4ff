"""Every format that PEFT makes: on vLLM's executor it is what PEFT makes of it, or it
is refused with the reason; and golden is what it was, after any history.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Generation
from hotswap.errors import AdapterRefused, MergeFailed
from hotswap.model.network.rows import Scored
from hotswap.model.vllm.extension import Made
from tests import tiny
from tests.formats import FORMATS
from tests.peft_format import Format
from tests.vllm.asking import answers, merged, named
from tests.vllm.fixtures import HEAD_DIM, Served
from tests.vllm.test_answers import NAMES, PROMPTS, ask

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes the adapter

HERE = [
    replace(each, head_dim=HEAD_DIM)
    for each in FORMATS
    if each.architecture in ("llama", "qwen2") and not each.tied
]
# vLLM's logits are as many as the model was loaded with.
REFUSED = {
    **{each.name: "vLLM's stays as large" for each in HERE if each.grown},
    "lora_bias, base without bias": "no place for model.layers.0.*bias alone",
}
PROMPT = (72, 101, *PROMPTS[4])  # the tokens that some formats train alone


def scores(found: Served, generation: Generation | None) -> list[Scored]:
    """Of a prompt, by an adapter: its logits, as far as they can be seen."""
    adapters = {"it": generation} if generation else {}
    asked = ask("it" if generation else "", PROMPT, 1, prompt_logprobs=20)
    (said,), _ = asyncio.run(answers(found.executor, adapters, [asked]))
    return list(said.prompt)


@torch.no_grad()
def check(model: torch.nn.Module, found: list[Scored]) -> None:
    logits = model(input_ids=torch.tensor([PROMPT])).logits[0]
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


class Failing(Made):
    """A rewrite that cannot be made."""

    def __call__(self, golden: Any) -> Any:
        raise RuntimeError("cannot be made")


def rewritten(found: Served, rewrite: Made) -> Generation:
    """A generation of one rewrite, which nobody has looked at."""
    return replace(
        found.generations[0],
        key="rewritten",
        deltas={},
        rewrites={"model.layers.0.self_attn.o_proj": rewrite},
    )


def test_a_merge_that_cannot_be_made_is_refused_when_it_is_read(llama: Served) -> None:
    with pytest.raises(AdapterRefused, match=r"its merge ends in .*cannot be made"):
        llama.executor.held(rewritten(llama, Failing({})))


def test_what_no_worker_would_write_is_not_merged_in_silence(llama: Served) -> None:
    weights = llama.executor.weights
    weights.activate(llama.generations[1])

    with pytest.raises(MergeFailed, match=r"no place for .*o_proj\.bias"):
        weights.activate(rewritten(llama, Made({"bias": torch.ones(3)})))

    assert weights.resident == llama.generations[1].key


async def test_a_merge_that_fails_fails_its_adapter_alone(llama: Served) -> None:
    executor = llama.executor
    failing = rewritten(llama, Failing({}))
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

    with pytest.raises(AdapterRefused, match=f"no place for .*{target}.weight alone"):
        tied.executor.held(read(tmp_path, tied.executor.layout))


@pytest.mark.parametrize("adapter", NAMES)
def test_a_tied_model_says_what_peft_says(tied: Served, adapter: str) -> None:
    generation = named(tied)[adapter] if adapter else None

    check(merged(tied, adapter), scores(tied, generation))
