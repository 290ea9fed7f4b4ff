"""The command `hotswap check`, as a shell runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap import cli
from hotswap.adapters.file_names import WEIGHTS_FILE


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
    assert "\r" not in done.stderr, "a bar is for a terminal"


@pytest.mark.slow
def test_check_names_what_is_wrong_with_a_bad_adapter_and_exits_with_1(
    model_folder: Path,
    adapter_folders: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(adapter_folders / "a0", tmp_path / "bad")
    os.truncate(tmp_path / "bad" / WEIGHTS_FILE, 100)
    line = ["check", str(tmp_path / "bad"), "--model", str(model_folder)]

    done = hotswap(*line)
    as_json = cli.parser().parse_args([*line, "--json"])  # another Python takes seconds

    assert as_json.run(as_json) == done.returncode == 1
    assert json.loads(capsys.readouterr().out)["code"] == "bad_weights"
    (said,) = done.stdout.splitlines()
    assert said.startswith(f"{tmp_path / 'bad'}: refused (bad_weights): {WEIGHTS_FILE}")
    assert "Traceback" not in done.stderr
