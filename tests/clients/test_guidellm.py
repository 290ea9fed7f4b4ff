"""guidellm: its load with an adapter by name, as its users run it."""

import json
from pathlib import Path

from tests.clients.asking import Server
from tests.clients.conftest import Snippet


def test_the_page(snippet: Snippet, server: Server, tmp_path: Path) -> None:
    before = server.ran("pirate")
    snippet("guidellm")
    report = json.loads((tmp_path / "report.json").read_text())
    totals = report["benchmarks"][0]["metrics"]["request_totals"]

    assert totals["errored"] == 0
    assert totals["successful"] >= 4
    assert server.ran("pirate") >= before + 4
