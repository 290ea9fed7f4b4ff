"""`hotswap key new`: the key goes to whoever asked, and only its hash into the file."""

import json
import sys
from pathlib import Path

import pytest

from hotswap import cli
from hotswap.keys.access_key import sha256
from tests.pages import ROOT, blocks


def run(monkeypatch: pytest.MonkeyPatch, *line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["hotswap", "key", "new", *line])
    monkeypatch.setattr(cli, "set_up", lambda: None)  # logging is for a process
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_key_is_all_that_stdout_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "keys.jsonl"
    limits = ["--adapters", "sql, pirate", "--rate", "90/min"]

    status = run(monkeypatch, "--file", str(path), "--name", "shop", *limits)

    out, err = capsys.readouterr()
    written = json.loads(path.read_text())
    assert status == 0
    assert written["sha256"] == sha256(out.strip())
    assert (written["adapters"], written["per_minute"]) == (["sql", "pirate"], 90)
    assert "admin" not in written
    assert out.strip() not in path.read_text() + err
    assert "`shop`" in err


def test_an_admin_key_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "keys.jsonl"

    assert run(monkeypatch, "--file", str(path), "--admin") == 0

    assert capsys.readouterr().out.startswith("hotswap-admin-")
    assert json.loads(path.read_text())["admin"] is True


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (["--rate", "fast"], "--rate"),
        (["--rate", "0/min"], "--rate"),
        (["--adapters", "a,,b"], "--adapters"),
        (["--name", "two words"], "$.name"),
        (["--admin", "--adapters", "a"], "mean nothing"),
    ],
)
def test_what_makes_no_key_is_told_and_no_key_is(
    line: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    status = run(monkeypatch, "--file", str(tmp_path / "keys.jsonl"), *line)

    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert named in err


def test_every_line_of_the_page_is_understood() -> None:
    page = ROOT / "docs" / "keys.md"
    lines = [
        line
        for block in blocks(page)
        for line in block.text.splitlines()
        if line.startswith("hotswap ")
    ]

    assert len(lines) > 3
    for line in lines:
        cli.parser().parse_args(line.split()[1:])
