"""One model has many names: by where it lies and how its weights are packed."""

from pathlib import Path

import pytest

from hotswap.adapters.base_name import base_name, is_same_base
from hotswap.model.load import load
from tests import tiny

HUB = "/home/x/.cache/huggingface/hub"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("meta-llama/Llama-3.1-8B", "Llama-3.1-8B"),
        ("gpt2", "gpt2"),
        ("/models/Llama-3.1-8B/", "Llama-3.1-8B"),
        ("/models/SmolLM2.Q4_1.gguf", "SmolLM2.Q4_1"),
        (f"{HUB}/models--Qwen--Qwen3-0.6B/snapshots/c1899de289a04d12100db370", None),
        (f"{HUB}/models--Qwen--Qwen3-0.6B/snapshots/c1899de2/", None),
        (".", Path.cwd().name),
    ],
)
def test_a_model_is_called_as_the_hub_calls_it(source: str, name: str | None) -> None:
    assert base_name(source) == (name or "Qwen3-0.6B")


def test_a_base_served_from_the_hubs_cache_has_its_name_and_not_the_hash(
    tmp_path: Path,
) -> None:
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "0a1b2c3d"
    tiny.save_model(snapshot)

    assert load(str(snapshot), "float32", "cpu").name == "tiny"


@pytest.mark.parametrize(
    "packed",
    [
        *("-bnb-4bit", "-unsloth-bnb-4bit", "-unsloth", "-AWQ", "-GPTQ", "-GGUF"),
        *("-FP8", "-FP8-Dynamic", "-4bit", "-8bit", "-6-bit", "-mlx-4bit", "-MLX"),
        *("-GPTQ-Int4", "-AWQ-INT4", "-GPTQ-4bit-128g", ".Q4_1", "-q4_k_m", ".IQ3_XS"),
        *(".f16", ".i1-Q4_K_M", "-quantized.w4a16", "-bf16", "-EXL2-4.0bit"),
    ],
)
def test_a_packing_of_a_model_is_no_other_model(packed: str) -> None:
    plain = "org/Llama-3.1-8B-Instruct"

    assert is_same_base(f"other/{plain.rpartition('/')[2]}{packed}", plain)
    assert is_same_base(plain, f"/models/Llama-3.1-8B-Instruct{packed}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Llama-3", "Llama-3.1"),
        ("Llama-3.1-8B", "Llama-3.1-8B-Instruct"),
        ("Qwen3-0.6B", "Qwen3-1.7B"),
        ("Qwen3-4B", "Qwen3-4B-AWQ-Chat"),
        ("gemma-2-2b", "gemma-2-9b"),
    ],
)
def test_another_model_is_another_one(one: str, other: str) -> None:
    assert not is_same_base(one, other)
