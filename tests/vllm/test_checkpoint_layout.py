"""The layout of a checkpoint that nobody has loaded: what adapters are held to."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hotswap.errors import StartFailed
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import load
from hotswap.model.unloaded import unloaded
from hotswap.model.vllm.checkpoint_layout import checkpoint_layout
from tests import tiny


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_it_is_that_of_the_loaded_model(
    architecture: str, tied: bool, tmp_path: Path
) -> None:
    folder = tiny.save_model(tmp_path / "it", architecture, tied=tied)
    skeleton = unloaded(str(folder), None).skeleton
    ours = EagerExecutor(load(str(folder), "float32", "cpu"), slots=1, kv_tokens=64)

    found = checkpoint_layout(folder, skeleton, torch.float32, "it")

    assert found.linear == ours.layout.linear
    assert found.others == ours.layout.others
    for path, parameters in ours.layout.golden.items():
        for name, tensor in parameters.items():
            assert torch.equal(found.golden[path][name], tensor), f"{path}.{name}"


def test_golden_is_read_in_the_type_that_is_computed_in(tmp_path: Path) -> None:
    folder = tiny.save_model(tmp_path / "it")
    skeleton = unloaded(str(folder), None).skeleton

    found = checkpoint_layout(folder, skeleton, torch.bfloat16, "it")

    assert found.golden["lm_head"]["weight"].dtype == torch.bfloat16
    assert "bias" not in found.golden["lm_head"]


def test_a_checkpoint_in_several_files_is_read_by_its_index(tmp_path: Path) -> None:
    model = tiny.model("llama")
    model.save_pretrained(tmp_path / "it", max_shard_size="50KB")
    tiny.tokenizer().save_pretrained(tmp_path / "it")
    skeleton = unloaded(str(tmp_path / "it"), None).skeleton

    found = checkpoint_layout(tmp_path / "it", skeleton, torch.float32, "it")

    assert len(list((tmp_path / "it").glob("*.safetensors"))) > 1
    for name, parameter in model.named_parameters():
        path, _, kind = name.rpartition(".")
        assert torch.equal(found.golden[path][kind], parameter)


@pytest.mark.parametrize("content", ["none", "broken"])
def test_a_folder_without_safetensors_ends_the_start(
    content: str, tmp_path: Path
) -> None:
    folder = tiny.save_model(tmp_path / "it")
    skeleton = unloaded(str(folder), None).skeleton
    (folder / "model.safetensors").unlink()
    if content == "broken":
        (folder / "model.safetensors").write_bytes(b"\xff" * 20)

    with pytest.raises(StartFailed, match="takes safetensors"):
        checkpoint_layout(folder, skeleton, torch.float32, "it")


def test_a_checkpoint_with_more_than_the_model_has_is_no_matter(tmp_path: Path) -> None:
    folder = tiny.save_model(tmp_path / "it")
    skeleton = unloaded(str(folder), None).skeleton
    tensors = {f"model.{name}": p for name, p in tiny.model("llama").named_parameters()}
    more = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(3)}
    save_file(
        {name.removeprefix("model."): t.detach() for name, t in tensors.items()} | more,
        folder / "model.safetensors",
    )

    found = checkpoint_layout(folder, skeleton, torch.float32, "it")

    assert all("inv_freq" not in parameters for parameters in found.golden.values())
