"""The README's quick start, run as it stands."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import free_port, spawned

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUICK_START = README.split("## Quick start")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```sh\n(.*?)```", QUICK_START, re.S)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """`make demo` as a newcomer types it, on a free port and a folder of its own."""
    port, folder = free_port(), tmp_path_factory.mktemp("demo")
    command = f"{BLOCKS[0].strip()} PORT={port} ADAPTERS={folder}/adapters"
    with spawned(command.split(), port, folder / "log", cwd=ROOT):
        yield port, folder


def run(block: str, place: tuple[int, Path]) -> str:
    port, folder = place
    script = block.replace("localhost:8080", f"127.0.0.1:{port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_four_specialists_answer(place: tuple[int, Path]) -> None:
    out = run(BLOCKS[1], place)

    assert re.search(r"Arr|Ahoy|Yo ho|Shiver", out)
    assert "SELECT email FROM people WHERE age > 72;" in out
    assert out.count("generated_text") == 2
    assert "error" not in out


def test_a_dropped_folder_is_served_and_a_removed_one_is_gone(
    place: tuple[int, Path],
) -> None:
    out = run(BLOCKS[2], place)

    assert '"model":"corsair"' in out
    assert "The model `corsair` does not exist." in out


def test_the_commands_for_ones_own_model_are_those_of_the_command_line() -> None:
    commands = [line.split() for line in BLOCKS[3].strip().splitlines()]

    for command in commands:
        executable, verb, *_ = command
        assert executable == ".venv/bin/hotswap"
        shown = subprocess.run(
            [ROOT / executable, verb, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        for word in command:
            if word.startswith("--"):
                assert word in shown.stdout


def test_an_adapter_is_registered_checked_and_given_an_endpoint(
    place: tuple[int, Path],
) -> None:
    out = run(BLOCKS[4], place)

    assert "Adapter corsair registered" in out
    assert "Success: LoRA adapter 'buccaneer' added successfully." in out
    assert '"ok":true' in out
    assert 'Workflow \\"sea\\" registered' in out
    assert "generated_text" in out
