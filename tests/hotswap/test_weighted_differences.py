"""Adapters that are no plain LoRA are added as the differences of weights that PEFT
merges, or refused by name."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from hotswap.errors import BadSum
from tests import tiny
from tests.hotswap.test_parity import logits, make_runner, oracle
from tests.hotswap.weighted_sums import close, parts_of, summed
from tests.peft_format import lora, tuner

KINDS = {
    "LoHa": tuner("LoHa"),
    "IA3": tuner("IA3", feedforward_modules=["down_proj"]),
    "DoRA": lora("DoRA", use_dora=True),
    "embedding": lora("embedding", target_modules=["embed_tokens", "q_proj"]),
    "lora_bias": lora(
        "lora_bias", architecture="qwen2", lora_bias=True, target_modules=["q_proj"]
    ),
    "DoRA (GPT-2)": lora("DoRA (GPT-2)", architecture="gpt2", use_dora=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_formats_are_added_as_the_difference_of_weights_that_peft_merges(
    kind: str, tmp_path: Path
) -> None:
    """Beside a LoRA on the same modules, and with a factor below 0."""
    other = KINDS[kind]
    architecture = other.architecture
    folders = {tmp_path / "lora": 0.75, tmp_path / "other": -0.5}
    lora("lora", architecture=architecture).write(tmp_path / "lora")
    other.write(tmp_path / "other")
    runner = make_runner(architecture)
    generation = summed(runner, parts_of(runner, folders))

    merged = logits(runner, generation, mixed=False)

    assert generation.note == "merged only: other cannot run mixed"
    wanted = oracle(differences_by_peft(architecture, folders))
    close(merged, wanted)


@torch.no_grad()
def differences_by_peft(
    architecture: str, folders: Mapping[Path, float]
) -> torch.nn.Module:
    """The base, moved by what PEFT's own merges of the adapters move it."""
    base = tiny.model(architecture)
    golden = {name: p.clone() for name, p in base.named_parameters()}
    for folder, factor in folders.items():
        wrapped = PeftModel.from_pretrained(tiny.model(architecture), folder)
        for name, made in wrapped.merge_and_unload().named_parameters():
            base.get_parameter(name).add_(factor * (made - golden[name]))
    return base


REPLACING = {
    "modules_to_save": lora("saved", modules_to_save=["lm_head"]),
    "added tokens": lora("grown", grown=5, modules_to_save=["embed_tokens", "lm_head"]),
    "added tokens beside": lora(
        "beside", grown=5, target_modules=["embed_tokens"], save={}
    ),
    'bias="all"': lora("bias", architecture="qwen2", bias="all"),
}


@pytest.mark.parametrize("kind", REPLACING)
def test_what_is_no_difference_of_weights_is_refused_by_part_and_module(
    kind: str, tmp_path: Path
) -> None:
    architecture = REPLACING[kind].architecture
    lora("lora", architecture=architecture).write(tmp_path / "lora")
    REPLACING[kind].write(tmp_path / "other")
    runner = make_runner(architecture)
    parts = parts_of(runner, {tmp_path / "lora": 0.5, tmp_path / "other": 0.5})

    with pytest.raises(BadSum, match=r"`other` replaces (model|lm_head)\S*, and only"):
        summed(runner, parts)
