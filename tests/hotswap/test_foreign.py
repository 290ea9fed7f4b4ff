"""A folder that is no adapter of PEFT's is refused by what it is and what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused
from tests import tiny
from tests.hotswap.test_parity import make_runner

Change = Callable[[Path], object]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
MLX = {
    "fine_tune_type": "lora",
    "num_layers": 16,
    "lora_parameters": {"rank": 8, "dropout": 0.0, "scale": 20.0},
}
SHARD = "adapter_model-00001-of-00002.safetensors"
ONES = torch.ones(4, 48)


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_adapter(tmp_path_factory.mktemp("good"), "llama", seed=1)


def holds(*files: str) -> Change:
    """These in place of the weights; without `CONFIG_FILE` no configuration, too."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS_FILE).unlink()
        if CONFIG_FILE not in files:
            (folder / CONFIG_FILE).unlink()
        for name in files:
            (folder / name).touch()

    return change


def raw(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def config(fields: dict[str, Any]) -> Change:
    return raw(CONFIG_FILE, json.dumps(fields).encode())


def settings(**fields: Any) -> Change:
    def change(folder: Path) -> None:
        held = json.loads((folder / CONFIG_FILE).read_text())
        config({**held, **fields})(folder)

    return change


def tensors(*names: str, value: torch.Tensor = ONES) -> Change:
    return lambda folder: save_file(
        {name: value.clone() for name in names}, folder / WEIGHTS_FILE
    )


def also(name: str, value: torch.Tensor) -> Change:
    def change(folder: Path) -> None:
        held = load_file(folder / WEIGHTS_FILE)
        save_file({**held, name: value}, folder / WEIGHTS_FILE)

    return change


def whole(folder: Path) -> None:
    state = tiny.model("llama").state_dict()
    save_file(state, folder / WEIGHTS_FILE)


LAYER = "model.layers.0.self_attn.q_proj"
PEFT = f"base_model.model.{LAYER}"
# what it is -> the code, how the folder becomes it, and what the reason names
KINDS: dict[str, tuple[str, Change, tuple[str, ...]]] = {
    "weights in Git LFS": (
        *("lfs_pointer", raw(WEIGHTS_FILE, POINTER)),
        (WEIGHTS_FILE, "git lfs pull"),
    ),
    "config in Git LFS": (
        *("lfs_pointer", raw(CONFIG_FILE, POINTER)),
        (CONFIG_FILE, "git lfs pull"),
    ),
    "mlx-lm's files": (
        *("no_weights", holds(CONFIG_FILE, "adapters.safetensors")),
        ("adapters.safetensors", "mlx-lm", "convert"),
    ),
    "mlx-lm's config": ("foreign", config(MLX), (CONFIG_FILE, "mlx-lm", "convert")),
    "mlx-lm's names": (
        *("foreign", tensors(f"{LAYER}.lora_a", f"{LAYER}.lora_b")),
        ("lora_a", "mlx-lm", "convert"),
    ),
    "ZeRO-3's placeholders": (
        *("missing_tensor", tensors(f"{PEFT}.lora_A.weight", value=torch.ones(0))),
        ("lora_A", "ZeRO-3", "gather"),
    ),
    "a task of classification": (
        *("foreign", settings(task_type="SEQ_CLS")),
        ("task_type", "SEQ_CLS", "CAUSAL_LM"),
    ),
    "a head of classification": (
        *("foreign", also("base_model.model.score.weight", torch.ones(2, 48))),
        ("score.weight", "classifier", "CAUSAL_LM"),
    ),
    "an adapter of what sees": (
        *("foreign", also("base_model.model.model.visual.0.lora_A.weight", ONES)),
        ("visual", "sees", "without it"),
    ),
    "a whole model's folder": (
        *("no_config", holds("config.json", "model.safetensors")),
        ("model.safetensors", "whole model", "MODEL"),
    ),
    "a whole model's tensors": ("foreign", whole, ("whole model", "save_pretrained")),
    "a whole model's config": (
        *("foreign", config({"architectures": ["LlamaForCausalLM"]})),
        (CONFIG_FILE, "whole model"),
    ),
    "diffusers' file": (
        *("no_config", holds("pytorch_lora_weights.safetensors")),
        ("pytorch_lora_weights", "image models"),
    ),
    "diffusers' names": (
        *("foreign", tensors("unet.down_blocks.0.to_q.lora.down.weight")),
        ("unet", "image models"),
    ),
    "kohya's names": (
        *("foreign", tensors("lora_unet_down_blocks_0_to_q.lora_down.weight")),
        ("lora_down", "image models"),
    ),
    "only a pickle": (
        *("no_weights", holds(CONFIG_FILE, "adapter_model.bin")),
        ("adapter_model.bin", "pickle"),
    ),
    "weights in several files": (
        *("no_weights", holds(CONFIG_FILE, SHARD)),
        (SHARD, "several files", "save_pretrained"),
    ),
    "a training's folder": (
        *("no_config", lambda f: (holds()(f), (f / "checkpoint-500").mkdir())),
        ("checkpoint-500", "training", "name it"),
    ),
    "an empty folder": ("no_config", holds(), (CONFIG_FILE,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_adapter_of_peft_is_refused_by_what_it_is_and_what_to_do(
    kind: str, good: Path, layout: Layout, tmp_path: Path
) -> None:
    code, change, named = KINDS[kind]
    folder = shutil.copytree(good, tmp_path / "copy")
    change(folder)

    with pytest.raises(AdapterRefused) as refused:
        read(folder, layout)

    assert refused.value.code == code
    assert all(part in refused.value.reason for part in named), refused.value.reason
    assert str(tmp_path) not in refused.value.reason
