"""Probes tell rounding from a wrong operation, however deep the model is."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from hotswap.model.network.probes import Probes


def deep(layers: int) -> PreTrainedModel:
    """Random weights as large as those of an 8B model are to its width."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=896,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=64,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08)
    return cast_to(model, torch.bfloat16)


def cast_to(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    made = copy.deepcopy(model)
    made.to(dtype)  # type: ignore[arg-type]  # a decorator hides its types
    return made


@torch.inference_mode()
def last(model: PreTrainedModel, probes: Probes) -> torch.Tensor:
    prompts = [torch.tensor([ids]) for ids in probes.prompts]
    return torch.stack([model(ids).logits[0, -1].float() for ids in prompts])


@pytest.mark.parametrize("layers", [2, 32])
def test_the_exact_logits_are_right_and_those_of_a_wrong_norm_are_not(
    layers: int,
) -> None:
    model = deep(layers)
    probes = Probes(model, model.dtype)
    exact = cast_to(model, torch.float32)

    found = last(exact, probes)
    exact.model.layers[-1].input_layernorm.weight.data *= 1.5
    exact.model.norm.weight.data[::2] *= 0.5
    wrong = last(exact, probes)

    assert probes.agree(found)
    assert not probes.agree(wrong)
    assert not probes.agree(torch.full_like(found, float("nan")))


def test_thirty_two_layers_round_more_than_a_flat_tolerance_allows() -> None:
    """Two orders of the same sums in bfloat16 differ by about 1.4 times this."""
    model = deep(32)
    probes = Probes(model, model.dtype)

    assert probes.gap(last(cast_to(model, torch.float32), probes)) > 0.03
    assert probes.tolerance > 0.1
