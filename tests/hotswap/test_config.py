"""Whatever is wrong at the start ends it with one line that names it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hotswap import cli, config
from hotswap.adapters.checkpoint import WEIGHTS_FILE
from hotswap.errors import StartFailed
from hotswap.model.load import load

BAD_VALUES = {
    "an unknown section": ("[sever]\nport = 1", "sever"),
    "an unknown key": ("[server]\nprot = 1", "prot"),
    "a section that is no table": ("server = 3", "server"),
    "a port too large": ("[server]\nport = 65536", "server.port"),
    "a port in words": ('[server]\nport = "http"', "server.port"),
    "a drain without end": ("[server]\ndrain_s = inf", "server.drain_s"),
    "a drain below zero": ("[server]\ndrain_s = -1", "server.drain_s"),
    "an unknown dtype": ('[model]\ndtype = "int8"', "model.dtype"),
    "no slot": ("[memory]\nslots = 0", "memory.slots"),
    "slots in words": ('[memory]\nslots = "many"', "memory.slots"),
    "no memory": ("[memory]\nbudget_gb = 0", "memory.budget_gb"),
    "memory without end": ("[memory]\nbudget_gb = inf", "memory.budget_gb"),
    "KV of half a token": ("[memory]\nkv_tokens = 0.5", "memory.kv_tokens"),
    "quiet not a number": ("[adapters]\nquiet_s = nan", "adapters.quiet_s"),
    "quiet of no time": ("[adapters]\nquiet_s = 0", "adapters.quiet_s"),
    "an unknown policy": ('[schedule]\npolicy = "best"', "schedule.policy"),
    "a batch that is true": ("[schedule]\nmax_batch = true", "schedule.max_batch"),
    "a wait without end": ("[schedule]\nmax_wait_s = inf", "schedule.max_wait_s"),
}


def refusal(path: Path | None, flags: dict[str, dict[str, Any]]) -> str:
    with pytest.raises(StartFailed) as failed:
        config.load(path, flags)
    return str(failed.value)


@pytest.mark.parametrize(("text", "named"), BAD_VALUES.values(), ids=list(BAD_VALUES))
def test_a_bad_line_of_the_file_is_refused_in_one_line_that_names_it(
    text: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_text(text)

    said = refusal(path, {})

    assert named in said
    assert str(path) in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "content",
    [b"[server", b"port 80", b"\xff\xfe", b"[model]\nx=1\nx=2", b"a=" + b"[" * 99999],
)
def test_a_file_that_is_not_toml_is_refused_in_one_line(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_bytes(content)

    said = refusal(path, {})

    assert str(path) in said
    assert "\n" not in said


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    missing = refusal(tmp_path / "none.toml", {})
    folder = refusal(tmp_path, {})

    assert missing == f"config {tmp_path / 'none.toml'}: No such file or directory"
    assert folder == f"config {tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("server", "port", -1), ("model", "dtype", "int8"), ("server", "prot", 1)],
)
def test_a_bad_flag_is_named(section: str, key: str, value: object) -> None:
    said = refusal(None, {section: {key: value}})

    assert section in said
    assert key in said


def test_a_flag_wins_over_the_file_and_an_absent_flag_does_not(tmp_path: Path) -> None:
    path = tmp_path / "hotswap.toml"
    path.write_text('[server]\nport = 1\nhost = "0.0.0.0"\n[schedule]\nmax_batch = 3')
    flags = {"server": {"port": 2, "host": None}, "model": {"path": "here"}}

    found = config.load(path, flags)

    assert (found.server.port, found.server.host) == (2, "0.0.0.0")
    assert found.model.path == "here"
    assert found.schedule.max_batch == 3
    assert found.schedule.policy == config.Schedule().policy


def test_without_file_and_flags_everything_has_its_default() -> None:
    assert config.load(None, {}) == config.Config()


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


def hotswap(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell would, never reaching for the network."""
    return subprocess.run(
        [sys.executable, "-m", "hotswap.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


@pytest.mark.slow
def test_check_says_ok_of_a_good_adapter_and_exits_with_0(
    model_folder: Path, adapter_folders: Path
) -> None:
    done = hotswap("check", adapter_folders / "a3", "--model", model_folder)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{adapter_folders / 'a3'}: ok, generation ")
    assert "rank 8" in done.stdout


@pytest.mark.slow
def test_check_names_what_is_wrong_with_a_bad_adapter_and_exits_with_1(
    model_folder: Path, adapter_folders: Path, tmp_path: Path
) -> None:
    shutil.copytree(adapter_folders / "a0", tmp_path / "bad")
    os.truncate(tmp_path / "bad" / WEIGHTS_FILE, 100)

    done = hotswap("check", tmp_path / "bad", "--model", model_folder)
    as_json = hotswap("check", tmp_path / "bad", "--model", model_folder, "--json")

    assert json.loads(as_json.stdout)["code"] == "bad_weights"
    assert done.returncode == as_json.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{tmp_path / 'bad'}: refused (bad_weights): {WEIGHTS_FILE}")
    assert "Traceback" not in done.stderr


def test_every_served_model_name_of_the_command_line_is_kept_in_order() -> None:
    line = "serve m --served-model-name a org/b:v1 --port 1 --served-model-name c"

    flags = cli._flags(cli._parser().parse_args(line.split()))

    names = config.load(None, flags).server.served_model_names
    assert names == ("a", "org/b:v1", "c")
