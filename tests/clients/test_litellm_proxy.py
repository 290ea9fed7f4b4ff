"""LiteLLM's proxy in front of this server: its models are adapters."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.asking import Server
from tests.clients.conftest import URL, example
from tests.clients.structures import Mood


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The proxy with the page's configuration. It takes some 20 s to start."""
    folder = tmp_path_factory.mktemp("proxy")
    _, text = example("LiteLLM proxy")
    config = folder / "config.yaml"
    config.write_text(text.replace("http://localhost:8080", URL))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command: list[str | Path] = [
        Path(sys.executable).parent / "litellm",
        "--config",
        config,
    ]
    command += ["--port", str(port), "--host", "127.0.0.1"]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        )
    up = Server(f"http://127.0.0.1:{port}", "sk-local")
    try:
        for _ in range(1800):
            assert running.poll() is None, (folder / "log").read_text()
            try:
                up.get("/health/readiness")
                break
            except OSError:
                time.sleep(0.1)  # another process: nothing tells us when it listens
        else:
            pytest.fail((folder / "log").read_text())
        yield up
    finally:
        running.terminate()
        running.wait(30)


def test_the_page_a_model_is_an_adapter(proxy: Server, server: Server) -> None:
    for adapter in ("pirate", "sql"):
        assert said(proxy, adapter, max_tokens=8) == server.chat(adapter)


def test_a_stream(proxy: Server, server: Server) -> None:
    chunks = proxy.post(
        "/v1/chat/completions", asked("pirate", max_tokens=8, stream=True)
    )
    told = (c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert "".join(told) == server.chat("pirate")


def test_a_schema_and_a_forced_call_go_through(proxy: Server) -> None:
    schema = Mood.model_json_schema()
    form = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema}}
    Mood.model_validate_json(
        said(proxy, "pirate", max_tokens=400, response_format=form)
    )

    tool = {"type": "function", "function": {"name": "mood", "parameters": schema}}
    body = asked("pirate", max_tokens=400, tools=[tool], tool_choice="required")
    answer = proxy.post("/v1/chat/completions", body)
    function = answer["choices"][0]["message"]["tool_calls"][0]["function"]
    assert function["name"] == "mood"
    Mood.model_validate_json(function["arguments"])


def asked(model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hello"}]
    return {"model": model, "messages": messages, "temperature": 0, **more}


def said(proxy: Server, model: str, **more: Any) -> str:
    answer = proxy.post("/v1/chat/completions", asked(model, **more))
    return str(answer["choices"][0]["message"]["content"])
