"""SIGTERM to the real command: what was accepted is finished, or told why not."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port, imported, spawned

pytestmark = pytest.mark.slow


@contextmanager
def served(
    model: Path, adapters: Path, tmp_path: Path, drain_s: float
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    settings = tmp_path / "config.toml"
    settings.write_text(
        f"[server]\ndrain_s = {drain_s}\n[memory]\nslots = 1\nkv_tokens = 2000\n"
    )
    command: list[str | Path] = [sys.executable, "-X", "importtime"]
    command += ["-m", "hotswap.cli", "serve", model]
    command += ["--adapters", adapters, "--port", str(port), "--config", settings]
    with spawned(command, port, tmp_path / "log") as server:
        yield f"http://127.0.0.1:{port}", server


def stream_over_sigterm(
    url: str, server: subprocess.Popen[bytes], max_tokens: int
) -> list[str]:
    """The data lines of a stream during which the server is told to stop."""
    body = {"prompt": "Hello", "adapter": "a1", "max_tokens": max_tokens}
    body |= {"temperature": 0, "ignore_eos": True, "stream": True}
    lines = []
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                lines.append(line.removeprefix("data: "))
                if len(lines) == 1:
                    server.send_signal(signal.SIGTERM)
    return lines


def test_a_running_stream_is_finished_and_the_process_ends(
    model_folder: Path, adapter_folders: Path, tmp_path: Path
) -> None:
    with served(model_folder, adapter_folders, tmp_path, drain_s=30) as (url, server):
        *_, last, done = stream_over_sigterm(url, server, max_tokens=300)

        assert f"ready url={url} seconds=" in (tmp_path / "log").read_text()
        assert done == "[DONE]"
        assert json.loads(last)["choices"][0]["finish_reason"] == "length"
        assert server.wait(20) in (0, -signal.SIGTERM)

    # Libraries that are there may import others. These serve nobody.
    assert not {"pydantic", "attr", "gguf", "datasets"} & imported(tmp_path / "log")


def test_a_stream_beyond_the_limit_ends_with_the_reason(
    model_folder: Path, adapter_folders: Path, tmp_path: Path
) -> None:
    with served(model_folder, adapter_folders, tmp_path, drain_s=0.01) as (url, server):
        last = stream_over_sigterm(url, server, max_tokens=500)[-1]

        assert json.loads(last)["error"]["message"] == "the server is stopping"
        assert server.wait(20) in (0, -signal.SIGTERM)
