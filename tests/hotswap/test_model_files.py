"""A model that cannot be loaded ends the start with one line that names it."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hotswap.errors import StartFailed
from hotswap.model.load import load


def cut_weights(model: Path) -> None:
    os.truncate(model / "model.safetensors", 1000)


def no_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def no_config(model: Path) -> None:
    (model / "config.json").unlink()


def bad_config(model: Path) -> None:
    (model / "config.json").write_text("{")


def list_config(model: Path) -> None:
    (model / "config.json").write_text("[]")


def bad_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_text("{")


@pytest.mark.parametrize(
    "spoil",
    [cut_weights, no_weights, no_config, bad_config, list_config, bad_tokenizer],
)
def test_a_broken_model_is_refused_in_one_line_that_names_it(
    spoil: Any, model_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_folder, tmp_path / "broken")
    spoil(tmp_path / "broken")

    with pytest.raises(StartFailed) as failed:
        load(str(tmp_path / "broken"), "float32", "cpu")

    assert str(tmp_path / "broken") in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_file_that_is_no_gguf_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "model.gguf"
    path.write_bytes(b"no magic")

    with pytest.raises(StartFailed) as failed:
        load(str(path), "float32", "cpu")

    assert "model.gguf" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_an_unknown_device_is_refused_in_one_line(model_folder: Path) -> None:
    with pytest.raises(StartFailed) as failed:
        load(str(model_folder), "float32", "abacus")

    assert "abacus" in str(failed.value)
    assert "\n" not in str(failed.value)
