"""A folder is read as PEFT would read it, or refused by a code and a named reason."""

import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer

from hotswap.adapters.checkpoint import read
from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.adapters.layout import Layout
from hotswap.errors import AdapterRefused
from tests import tiny
from tests.changes import PREFIX, A, config, put, raw, remove, targets
from tests.hotswap.test_parity import make_runner


@pytest.fixture(scope="module")
def layout() -> Layout:
    return make_runner("llama").layout


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    return tiny.save_adapter(folder, "llama", 1, target_modules=["q_proj", "v_proj"])


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy of the good adapter, to be broken."""
    return shutil.copytree(good, tmp_path / "copy")


def test_a_target_that_the_model_has_not_is_passed_over_and_said(
    good: Path, folder: Path, layout: Layout
) -> None:
    targets("q_proj v_proj zz fc1")(folder)

    found = read(folder, layout)

    assert found.deltas.keys() == read(good, layout).deltas.keys()
    assert found.can_mix
    (warning,) = found.warnings
    assert "fc1, zz" in warning


def test_a_pickle_is_named_in_the_reason_and_never_opened(
    folder: Path, layout: Layout, tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    remove(WEIGHTS_FILE)(folder)
    raw("adapter_model.bin", pickle.dumps(Trap()))(folder)

    with pytest.raises(AdapterRefused, match=r"adapter_model\.bin") as refused:
        read(folder, layout)

    assert refused.value.code == "no_weights"
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"r": 1, "lora_alpha": 32},
        {"r": 8, "lora_alpha": 3, "use_rslora": True},
        {"rank_pattern": {"q_proj": 7, "layers.1.self_attn.v_proj": 2}},
        {"alpha_pattern": {"down_proj": 31, "q_proj": 5}, "use_rslora": True},
        {"rank_pattern": {"^model.layers.0.self_attn.q_proj": 6}},
    ],
    ids=["rank 1", "rsLoRA", "ranks", "alphas", "anchored"],
)
def test_rank_and_scale_of_each_module_are_those_of_peft(
    settings: dict[str, Any], tmp_path: Path, layout: Layout
) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=2, **settings)

    found = read(tmp_path, layout).deltas

    peft = PeftModel.from_pretrained(tiny.model("llama"), tmp_path)
    wanted = {
        path.removeprefix(PREFIX): (module.r["default"], module.scaling["default"])
        for path, module in peft.named_modules()
        if isinstance(module, LoraLayer)
    }
    ours = {m: (d.a.shape[0], pytest.approx(d.scale)) for m, d in found.items()}
    assert ours == wanted


def test_the_digest_names_the_content_and_not_the_folder(
    good: Path, folder: Path, layout: Layout
) -> None:
    key = read(good, layout).key

    copy = read(folder, layout).key
    put(A, torch.ones(4, 48))(folder)
    other_weights = read(folder, layout).key
    config(lora_alpha=9)(folder)
    other_config = read(folder, layout).key

    assert copy == key
    assert len({key, other_weights, other_config}) == 3


def test_golden_is_looked_at_beside_the_steps(
    good: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside: list[bool] = []

    @contextmanager
    def noted(_: Layout) -> Iterator[None]:
        beside.append(True)
        yield
        beside.append(False)

    def looked_at(self: Layout, path: str) -> torch.Tensor:
        assert beside == [True]
        return matrix(self, path)

    matrix = Layout.matrix
    monkeypatch.setattr(Layout, "beside_steps", noted)
    monkeypatch.setattr(Layout, "matrix", looked_at)

    read(good, layout)

    assert beside == [True, False]
