"""`hotswap serve echo`: the whole server, without a model."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.echo import app
from tests.servers import Live, free_port, imported, spawned, wait_until

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pirate`, as far as it is looked at without a model; one that lacks a file."""
    root = tmp_path_factory.mktemp("adapters")
    for name in ("pirate", "broken"):
        (root / name).mkdir()
        (root / name / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    (root / "pirate" / WEIGHTS_FILE).write_bytes(b"weights")
    (root / "pirate" / SIDECAR_FILE).write_text('aliases = ["corsair"]')
    return root


@pytest.fixture(scope="module")
def echo(directory: Path) -> Iterator[httpx.Client]:
    told = {"model": {"path": "echo"}, "adapters": {"directory": str(directory)}}
    with Live(app.build(config.load(None, told))) as live, live.client() as client:
        yield client


def user(text: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Not this."},
        {"role": "assistant", "content": "Nor this."},
        {"role": "user", "content": text},
    ]


@pytest.mark.parametrize("text", ["Hello", "a\nb", "caf\u00e9 \U0001f642"])
def test_a_chat_says_what_its_last_message_says(echo: httpx.Client, text: str) -> None:
    answer = echo.post(CHAT, json={"messages": user(text)}).json()

    assert answer["choices"][0]["message"]["content"] == text
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_completion_says_its_prompt_up_to_the_limit(echo: httpx.Client) -> None:
    body = {"prompt": "abcdef", "max_tokens": 4}
    answer = echo.post("/v1/completions", json=body).json()

    assert answer["choices"][0]["text"] == "abcd"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


def test_a_stream_joins_to_the_same_text(echo: httpx.Client) -> None:
    body = {"messages": user("Hello"), "stream": True}
    lines = echo.post(CHAT, json=body).text.splitlines()

    events = [json.loads(x[6:]) for x in lines if x.startswith("data: {")]
    deltas = [event["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello"


def test_adapters_are_found_named_and_refused_as_ever(echo: httpx.Client) -> None:
    def states() -> dict[str, str]:
        rows = echo.get("/v1/adapters").json()["data"]
        return {row["name"]: row["state"] for row in rows}

    wait_until(lambda: states() == {"pirate": "ready", "broken": "failed"})

    answer = echo.post(CHAT, json={"messages": user("Hi"), "model": "corsair"})
    assert answer.headers["x-hotswap-adapter"] == "pirate"
    refused = echo.post(CHAT, json={"messages": user("Hi"), "model": "broken"})
    assert refused.status_code == 404
    assert WEIGHTS_FILE in refused.json()["error"]["message"]


def test_its_tokens_are_bytes(echo: httpx.Client) -> None:
    places = echo.post("/tokenize", json={"inputs": "a\u00e9"}).json()

    assert [each["text"] for each in places] == ["a", "\u00e9", "\u00e9"]


def test_bad_input_gets_the_real_errors(echo: httpx.Client) -> None:
    answer = echo.post(CHAT, json={"messages": user("Hi"), "temperatur": 1})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "temperatur"


def test_its_command_starts_with_what_it_uses_alone(tmp_path: Path) -> None:
    port, log, settings = free_port(), tmp_path / "log", tmp_path / "settings.toml"
    settings.write_text("[limits]\nhead_s = 0.2")
    command = [sys.executable, "-X", "importtime", "-m", "hotswap.cli"]
    command += ["serve", "echo", "--port", str(port), "--config", str(settings)]
    with spawned(command, port, log) as server:
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/models")
        assert answer.json()["data"][0]["id"] == "echo"
        with socket.create_connection(("127.0.0.1", port), 9) as slow:
            slow.sendall(b"GET")
            assert b"408 Request Timeout" in slow.recv(100)
        assert isinstance(server, subprocess.Popen)

    heavy = {"torch", "transformers", "peft", "numpy", "pydantic", "attr"}
    assert not heavy & imported(log)
