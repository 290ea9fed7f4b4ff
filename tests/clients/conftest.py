"""Fixtures of the clients' tests, which run in the environments of the clients.

Only the standard library and pytest are in all of them. `python -m tests.clients` says
where the server is; without that nothing here is collected.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.asking import Server

URL = os.environ.get("CLIENTS_SERVER", "")
# Where the server's model and adapters lie.
FOLDER = Path(os.environ.get("CLIENTS_FOLDER", "."))
PAGE = Path(__file__).parent.parent.parent / "docs" / "clients.md"
collect_ignore_glob = [] if URL else ["*"]

Snippet = Callable[[str], str]


@pytest.fixture(scope="session")
def server() -> Server:
    return Server(URL)


@pytest.fixture
def snippet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Snippet:
    """Run the first example below a heading of docs/clients.md; what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(heading: str) -> str:
        language, code = example(heading)
        code = code.replace("http://localhost:8080", URL).replace(
            "MODEL", str(FOLDER / "tiny")
        )
        if language == "sh":
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-euc", code],
                env=os.environ | {"PATH": path},
                capture_output=True,
                check=False,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, heading, "exec"), {"__name__": "__main__"})
        return printed.getvalue().removesuffix("\n")

    return run


def example(heading: str) -> tuple[str, str]:
    """The language and the text of the first fenced block below `heading`."""
    after = PAGE.read_text().partition(f"\n### {heading}\n")[2]
    section = after.partition("\n### ")[0]
    found = re.search(r"^```(\w+)\n(.*?)^```$", section, re.S | re.M)
    assert found, f"docs/clients.md has no example below {heading!r}"
    return found[1], found[2]
