"""Names that something changed on their way are read as PEFT's own, or not at all."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.adapters.keys import PREFIX
from hotswap.errors import AdapterRefused
from hotswap.model.eager.executor import EagerExecutor
from tests import tiny
from tests.formats import FORMATS
from tests.hotswap.test_parity import logits, make_runner, oracle

Rename = Callable[[str], str]
INNER = "model.layers."
RENAMED: dict[str, Rename] = {
    "saved by hand": lambda k: k.replace(".weight", ".default.weight"),
    "torch.compile": lambda k: k.replace(PREFIX, f"{PREFIX}_orig_mod."),
    "torch.compile, outside": lambda k: f"_orig_mod.{k}",
    "torch.compile, each block": lambda k: k.replace(".0.", ".0._orig_mod."),
    "DDP": lambda k: f"module.{k}",
    "FSDP": lambda k: k.replace(INNER, f"_fsdp_wrapped_module.{INNER}"),
    "no prefix": lambda k: k.removeprefix(PREFIX),
    "prefix twice": lambda k: PREFIX + k,
    "text and images": lambda k: k.replace(INNER, f"language_model.{INNER}"),
    "text and images, newer": lambda k: k.replace(
        INNER, "model.language_model.layers."
    ),
    "several at once": lambda k: f"module._orig_mod.{k}".replace(
        ".weight", ".default.weight"
    ),
}


@cache
def runner() -> EagerExecutor:
    return make_runner("llama")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    return tiny.save_adapter(folder, "llama", 1, target_modules=["q_proj", "down_proj"])


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "copy")


def rename(folder: Path, how: Rename) -> None:
    held = load_file(folder / WEIGHTS_FILE)
    save_file({how(key): t for key, t in held.items()}, folder / WEIGHTS_FILE)


@pytest.mark.parametrize("how", RENAMED.values(), ids=RENAMED)
def test_names_that_one_renaming_makes_pefts_give_the_logits_of_peft(
    how: Rename, good: Path, folder: Path
) -> None:
    rename(folder, how)

    generation = read(folder, runner().layout)

    peft = PeftModel.from_pretrained(tiny.model("llama"), good)
    wanted = oracle(peft.merge_and_unload())
    assert (generation.can_merge, generation.can_mix) == (True, True)
    for mixed in (False, True):
        found = logits(runner(), generation, mixed=mixed)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    (warning,) = generation.warnings
    assert min(how(key) for key in load_file(good / WEIGHTS_FILE)) in warning


@pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes the adapter
@pytest.mark.parametrize("kind", ["DoRA", "IA3", "Vera", "modules_to_save: head"])
def test_so_are_those_of_every_other_kind(kind: str, tmp_path: Path) -> None:
    given = next(f for f in FORMATS if f.name == kind)
    given.write(tmp_path)
    peft = given.loaded(tmp_path)
    rename(tmp_path, lambda key: f"module._orig_mod.{key}")

    found = logits(runner(), read(tmp_path, runner().layout), mixed=False)

    torch.testing.assert_close(found, oracle(peft), atol=1e-4, rtol=1e-4)


def test_names_of_peft_are_left_alone_without_a_word(good: Path) -> None:
    assert read(good, runner().layout).warnings == ()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        # one tensor has no place whatever is left out
        (lambda k: f"module.{k}".replace("layers.1", "layers.9"), "unknown_module"),
        (lambda k: k.replace("layers", "blocks"), "unknown_module"),
        (lambda k: k.replace(".weight", ".other.weight"), "unused_tensor"),
    ],
    ids=["no such layer", "other names", "another adapter's name"],
)
def test_where_a_tensor_stays_without_a_place_the_folder_is_refused(
    how: Rename, code: str, folder: Path
) -> None:
    rename(folder, how)

    with pytest.raises(AdapterRefused) as refused:
        read(folder, runner().layout)

    assert refused.value.code == code


def test_two_tensors_for_one_place_are_refused(folder: Path) -> None:
    held = load_file(folder / WEIGHTS_FILE)
    twice = {f"module.{key}": t.clone() for key, t in held.items()}
    save_file({**held, **twice}, folder / WEIGHTS_FILE)

    with pytest.raises(AdapterRefused, match="module") as refused:
        read(folder, runner().layout)

    assert refused.value.code in ("unknown_module", "unused_tensor")


def test_a_whole_state_dict_saved_by_hand_is_the_adapter_in_it(
    good: Path, folder: Path
) -> None:
    """The base's own weights lie beside the factors, as they were."""
    peft = PeftModel.from_pretrained(tiny.model("llama"), good)
    held = {k: t.contiguous() for k, t in peft.state_dict().items()}
    save_file(held, folder / WEIGHTS_FILE)
    assert len(held) > 20

    generation = read(folder, runner().layout)

    assert generation.can_mix
    found = logits(runner(), generation, mixed=False)
    torch.testing.assert_close(found, oracle(peft), atol=1e-4, rtol=1e-4)
