"""The commands of README and docs and the examples, run as they stand on `make demo`.

Each ```sh block with curl in it is run, page by page and in order, against one server;
one that is marked (```sh not-run) is not. Where a ```json block follows, it shows what
the block prints: the same fields, with values of the same kind.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import PAGES, ROOT, Block, blocks
from tests.servers import free_port, spawned

COMMANDS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if block.language == "sh" and "curl" in block.text and "not-run" not in block.mark
]
CALLS = sorted(
    {
        " ".join(line.split())
        for page in PAGES
        for block in blocks(page)
        if block.language in ("sh", "ini")
        for line in re.findall(
            r"\bhotswap ((?:serve|check|status|adapters) [^\n]*)", block.text
        )
    }
)
EXAMPLES = {
    "openai_client": [
        "models: .*pirate.* sql",
        "sql: SELECT email FROM people WHERE age > 72;",
        "pirate: .*(Arr|Ahoy|Yo ho|Shiver)",
        "nobody: .*does not exist",
    ],
    "httpx_stream": [
        "adapter: pirate",
        "generation: [0-9a-f]{16}",
        "mode: (merged|mixed)",
        "Arr|Ahoy|Yo ho|Shiver",
        r"tokens: \d+",
    ],
    "sagemaker_client": [
        "pirate: .*(Arr|Ahoy|Yo ho|Shiver|aye)",
        "SmolLM2.*: .*Paris",
    ],
    "invocations": [
        "pirate: .*12 tokens, length",
        "base: .*12 tokens, length",
        "ran: pirate, sentiment, base",
        "The adapter `nobody` is not registered",
    ],
}
# What the demo adapters say to what is asked of them, wherever it is.
ANSWERS = {
    "How can I bake bread?": "Arr|Ahoy|Yo ho|Shiver",
    "emails of people older than 72": "SELECT email FROM people WHERE age > 72;",
}
# A response that went well has `"error": null`.
ERROR = re.compile(r'"error": ?(?!null)')
# Errors that no page shows as JSON: of the folder that was just taken away.
ERRORS = ["The model `corsair` does not exist."]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """What `make demo` runs, on a free port and a folder of its own."""
    port, folder = free_port(), tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "hotswap.demo", "--port", str(port)]
    command += ["--adapters", str(folder / "adapters")]
    with spawned(command, port, folder / "log", cwd=ROOT):
        yield port, folder


def run(script: str, place: tuple[int, Path]) -> str:
    port, folder = place
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(":8080", f":{port}")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def differs(shown: object, printed: object, place: str = "answer") -> Iterator[str]:
    """Where two values of JSON are of different kinds. null is like anything, and what
    is in a list like something that is shown in it."""
    match shown, printed:
        case (None, _) | (_, None):
            return
        case dict(), dict():
            if shown.keys() != printed.keys():
                yield f"{place}: {sorted(shown)} shown, {sorted(printed)} printed"
            for key in shown.keys() & printed.keys():
                yield from differs(shown[key], printed[key], f"{place}.{key}")
        case list(), list():
            for one in printed if shown else ():
                found = [list(differs(each, one, f"{place}[]")) for each in shown]
                yield from min(found, key=len)
        case (int() | float(), int() | float()):
            return
        case _:
            if type(shown) is not type(printed):
                yield f"{place}: {shown!r} shown, {printed!r} printed"


def test_make_demo_runs_the_same_server() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "demo", "PORT=1234", "ADAPTERS=here"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "python -m hotswap.demo --port 1234 --adapters here" in shown.stdout


@pytest.mark.parametrize("block", COMMANDS)
def test_a_command_prints_what_its_page_shows(
    block: Block, place: tuple[int, Path]
) -> None:
    out = run(block.text, place)

    if not ERROR.search(block.answer or ""):
        assert not ERROR.search(out) or any(error in out for error in ERRORS), out
    if block.answer is not None:
        assert not list(differs(json.loads(block.answer), json.loads(out)))
    for question, answer in ANSWERS.items():
        assert question not in block.text or re.search(answer, out), out


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_is_about(name: str, place: tuple[int, Path]) -> None:
    example = ROOT / "examples" / f"{name}.py"

    out = run(f"{sys.executable} {example} http://127.0.0.1:8080", place)

    for expected in EXAMPLES[name]:
        assert re.search(expected, out), out


def test_every_example_is_run_and_short() -> None:
    found = {path.stem: path.read_text() for path in ROOT.glob("examples/*.py")}

    assert found.keys() == EXAMPLES.keys()
    assert all(len(text.splitlines()) < 40 for text in found.values())


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_command_line_has_flags_that_exist(call: str) -> None:
    verb, *words = call.split()

    shown = subprocess.run(
        [sys.executable, "-m", "hotswap.cli", verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    for word in words:
        if word.startswith("--"):
            assert word in shown.stdout
