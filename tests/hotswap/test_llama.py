"""The chain of Llama, Mistral and Qwen2 is transformers' own, on any operations."""

import pytest
import torch

from hotswap.model.network.llama import Llama
from tests import tiny
from tests.hotswap.plain_operations import PlainOperations
from tests.hotswap.test_parity import PROMPT, logits, make_runner, oracle

FITTING = ["llama", "mistral", "qwen2"]
WANTED = [3, 6, 7, 8, 9, 10]  # tokens of the prompt before each of the oracle's rows


@torch.no_grad()
@pytest.mark.parametrize("architecture", FITTING)
def test_the_chain_on_plain_operations_computes_what_transformers_does(
    architecture: str,
) -> None:
    model = tiny.model(architecture)
    chain = Llama(model, PlainOperations(model.model.rotary_emb))

    found = torch.cat([chain(torch.tensor(PROMPT[:n])) for n in WANTED])

    torch.testing.assert_close(found, oracle(model), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("architecture", FITTING)
def test_the_chain_on_the_cpus_operations_computes_the_same(architecture: str) -> None:
    model = tiny.model(architecture)
    chain = Llama(model, PlainOperations(model.model.rotary_emb))
    wanted = torch.cat([chain(torch.tensor(PROMPT[:n])) for n in WANTED])

    runner = make_runner(architecture)
    found = logits(runner, None, mixed=False)

    assert runner.kind == "llama"
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_every_linear_layer_of_the_model_is_in_the_chain_once() -> None:
    model = tiny.model("llama")
    operations = PlainOperations(model.model.rotary_emb)

    Llama(model, operations)

    linear = [p for p, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    assert sorted(operations.asked) == sorted(linear)
    own = [s.parts for s in make_runner("llama").weights.swappables]
    paths = [path for parts in own for path in parts if path in linear]
    assert paths == operations.asked, "the executor swaps others, or in another order"


@pytest.mark.parametrize("architecture", ["gpt2", "gemma2", "bloom"])
def test_what_has_another_shape_does_not_fit(architecture: str) -> None:
    assert not Llama.fits(tiny.model(architecture))
