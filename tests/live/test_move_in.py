"""The migration of docs/djl.md, as a stranger does it: DJL's folder, one command, and
every call of DJL's page with what it prints."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.demo.__main__ import ADAPTERS, model_file
from tests.live.test_commands import differs, run
from tests.pages import ROOT, blocks
from tests.servers import free_port, spawned

BLOCKS = blocks(ROOT / "docs" / "djl.md")
CALLS = [block for block in BLOCKS if block.mark == "not-run-on-demo"]
GONE = "The adapter `a1` is not registered"

pytestmark = pytest.mark.slow


def command(port: int) -> list[str]:
    """The one of the page that serves the folder."""
    (shown,) = [b.text for b in BLOCKS if b.language == "sh" and b not in CALLS]
    words = shlex.split(shown.replace("MODEL", str(model_file())))
    assert words[0] == ".venv/bin/hotswap"
    return [sys.executable, "-m", "hotswap.cli", *words[1:], "--port", str(port)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The page's folder, served by the page's command."""
    port, folder = free_port(), tmp_path_factory.mktemp("move-in")
    (properties,) = [b.text for b in BLOCKS if b.language == "ini"]
    shutil.copytree(ADAPTERS, folder / "shop" / "adapters")
    (folder / "shop" / "serving.properties").write_text(
        properties.replace("MODEL", str(model_file()))
    )
    with spawned(command(port), port, folder / "log", cwd=folder):
        yield port, folder


def test_the_folder_is_the_one_that_the_page_shows(place: tuple[int, Path]) -> None:
    (shown,) = [block.text for block in BLOCKS if block.language == "text"]

    names = re.findall(r"^ *([\w.]+)", shown, re.M)

    found = {path.name for path in (place[1] / "shop").glob("*")}
    found |= {path.name for path in (place[1] / "shop" / "adapters").glob("[!.]*")}
    assert set(names) == {"shop", *found}


def test_every_call_prints_what_the_page_shows(place: tuple[int, Path]) -> None:
    """In one test: each goes on where the one before has left the server."""
    for block in CALLS:
        out = run(block.text, place)
        assert block.answer is not None, block.text
        wrong = list(differs(json.loads(block.answer), json.loads(out)))
        assert not wrong, (block.text, wrong)

    assert GONE in out
