"""`hotswap status` and `hotswap adapters` against a server that runs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotswap import cli, config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.commands.remote import KEY_VARIABLE
from hotswap.echo import app
from hotswap.errors import CommandFailed
from tests.servers import Live, wait_until


def folder(root: Path, name: str) -> Path:
    made = root / name
    made.mkdir()
    (made / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    (made / WEIGHTS_FILE).write_bytes(name.encode())
    return made


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, roots: Path) -> Iterator[Live]:
    watched = tmp_path_factory.mktemp("adapters")
    folder(watched, "pirate")
    (folder(watched, "broken") / WEIGHTS_FILE).unlink()
    told: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(watched), "roots": [str(roots)], "quiet_s": 0.05},
    }
    with Live(app.build(config.load(None, told))) as live:
        with live.client() as client:
            wait_until(lambda: "pirate" in client.get("/v1/models").text)
        yield live


@pytest.fixture
def run(server: Live, capsys: pytest.CaptureFixture[str]) -> "Run":
    return Run(server, capsys)


class Run:
    def __init__(self, server: Live, capsys: pytest.CaptureFixture[str]) -> None:
        self._server, self._capsys = server, capsys

    def __call__(self, *words: str) -> str:
        """What a command prints."""
        args = cli.parser().parse_args([*words, "--url", self._server.url])
        assert args.run(args) == 0
        return self._capsys.readouterr().out


def test_status_tells_what_the_server_does(run: Run, server: Live) -> None:
    with server.client() as client:
        client.post("/v1/completions", json={"prompt": "ab", "max_tokens": 2})

    lines = dict(
        re.split(r" {2,}", line, maxsplit=1) for line in run("status").splitlines()
    )

    assert lines["server"] == server.url
    assert lines["model"].startswith("echo")
    assert "1 ready" in lines["adapters"]
    assert lines["jobs"] == "0 begun, 0 waiting"
    assert int(lines["requests"].split()[0]) >= 1


def test_as_json_both_are_what_the_server_tells(run: Run, server: Live) -> None:
    status, adapters = run("status", "--json"), run("adapters", "--json")

    with server.client() as client:
        assert json.loads(status).keys() == client.get("/v1/status").json().keys()
        assert json.loads(adapters) == client.get("/v1/adapters").json()


def test_adapters_lists_those_that_serve_and_those_that_do_not(run: Run) -> None:
    titles, *rows = run("adapters").splitlines()

    assert titles.split()[:3] == ["name", "state", "generation"]
    found = {row.split()[0]: row for row in rows}
    assert "ready" in found["pirate"]
    assert "both" in found["pirate"]


def test_an_adapter_is_loaded_pinned_unpinned_and_unloaded(
    run: Run, roots: Path
) -> None:
    source = folder(roots, "parrot")

    assert "parrot" in run("adapters", "load", "parrot", str(source))
    assert ", pinned" in run("adapters", "pin", "parrot")
    assert ", pinned" not in run("adapters", "unpin", "parrot")
    assert run("adapters", "unload", "parrot") == "parrot: removed\n"
    assert "parrot" not in run("adapters")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unload", "nobody"], "404 "),
        (["pin", "no/body?x"], "404 "),
        (["load", "a", "/etc"], "403 "),
        (["load", "a"], "hotswap adapters load NAME FOLDER"),
        (["unload"], "hotswap adapters unload NAME"),
        (["list", "extra"], "hotswap adapters list"),
    ],
)
def test_what_cannot_be_done_is_one_line(words: list[str], said: str, run: Run) -> None:
    with pytest.raises(CommandFailed) as failed:
        run("adapters", *words)

    assert said in str(failed.value)
    assert "\n" not in str(failed.value)


def test_the_commands_load_nothing_heavy_and_fail_with_status_1(server: Live) -> None:
    code = (
        "import sys; from hotswap import cli\n"
        "try:\n cli.main()\n"
        "finally:\n print([m for m in sys.modules if m in "
        "('torch', 'litestar', 'uvicorn', 'numpy')], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]

    good = subprocess.run(
        [*command, "adapters", "--url", server.url],
        capture_output=True,
        text=True,
        check=True,
    )
    bad = subprocess.run(
        [*command, "adapters", "pin", "nobody", "--url", server.url],
        capture_output=True,
        text=True,
        check=False,
    )

    assert good.stderr == "[]\n"
    assert bad.returncode == 1
    line, modules = bad.stderr.splitlines()
    assert line.startswith(f"hotswap: {server.url}: 404 ")
    assert (bad.stdout, modules) == ("", "[]")


def test_the_key_of_the_environment_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "hs-1")

    assert cli.parser().parse_args(["status"]).key == "hs-1"
    assert cli.parser().parse_args(["status", "--key", "hs-2"]).key == "hs-2"
