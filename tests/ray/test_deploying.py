"""`hotswap deploy` from the command line to the signal, and replicas by queue age."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ray.crew import GENERATION, REPLICA, Crew, toml
from tests.ray.load import Load, streamed
from tests.servers import NO_TLS, free_port, spawned, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


SERVE_PORT = 8000


def is_taken(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def make(folder: Path) -> None:
    """An adapter as far as echo looks at it."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")


def echo_settings(folder: Path) -> Path:
    sections: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(folder / "adapters"), "quiet_s": 0.05},
        "deploy": {"cpus": 0.1},
        "log": {"format": "text"},
    }
    file = folder / "settings.toml"
    file.write_text(toml(sections))
    return file


def test_a_deployment_serves_until_a_signal_and_drains(tmp_path: Path) -> None:
    make(tmp_path / "adapters" / "pirate")
    settings, port = echo_settings(tmp_path), free_port()
    command = [sys.executable, "-m", "hotswap.cli", "deploy", str(settings)]
    command += ["--port", str(port), "--replicas", "2"]
    with spawned(command, port, tmp_path / "log") as deployed:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, verify=NO_TLS) as client:
            seen: set[str] = set()

            def answered(_: int) -> str:
                return client.get("/health").headers[REPLICA]

            def both() -> bool:
                """Asked at once: one after another would all go to the first."""
                with ThreadPoolExecutor(8) as pool:
                    seen.update(pool.map(answered, range(8)))
                return len(seen) == 2

            wait_until(both)
            body = {"model": "pirate", "prompt": "Hello"}
            wait_until(
                lambda: client.post("/v1/completions", json=body).status_code == 200
            )
            answer = client.post("/v1/completions", json=body)
        os.kill(deployed.pid, signal.SIGTERM)
        assert deployed.wait(60) == 0

    assert len(answer.headers[GENERATION]) == 16
    assert answer.json()["choices"][0]["text"] == "Hello"


def test_rays_own_command_serves_with_the_front(tmp_path: Path) -> None:
    """The one in docs/ray.md, on a Ray of its own and on Serve's own port."""
    make(tmp_path / "adapters" / "pirate")
    serve = shutil.which("serve", path=Path(sys.executable).parent)
    assert serve is not None
    if is_taken(SERVE_PORT):
        pytest.skip(f"something listens on {SERVE_PORT}")
    command = [serve, "run", "--address", "local", "hotswap.ray:app"]
    command += [f"config={echo_settings(tmp_path)}"]
    with spawned(command, SERVE_PORT, tmp_path / "log") as running:
        url = f"http://127.0.0.1:{SERVE_PORT}"
        with httpx.Client(base_url=url, verify=NO_TLS) as client:
            body = {"model": "pirate", "prompt": "Hello"}
            wait_until(
                lambda: client.post("/v1/completions", json=body).status_code == 200
            )
            answer = client.post("/v1/completions", json=body)
        # A signal that meets Ray's own wait for the replicas may be lost.
        wait_until(lambda: "is ready at" in (tmp_path / "log").read_text())
        os.kill(running.pid, signal.SIGINT)
        assert running.wait(60) == 0

    assert answer.headers[REPLICA]
    assert len(answer.headers.get_list("x-request-id")) == 1  # the front's work


def test_what_is_wrong_is_told_before_ray_starts(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    adapters = {"directory": str(tmp_path / "missing")}
    settings.write_text(toml({"model": {"path": "echo"}, "adapters": adapters}))
    command = [sys.executable, "-m", "hotswap.cli", "deploy", str(settings)]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert "no such folder" in ended.stderr


def test_replicas_come_while_queues_are_old_and_go_when_they_are_not(
    crew: Crew,
) -> None:
    """With all delays short; Ray looks at metrics some seconds old."""
    deploy = {
        "max_replicas": 2,
        "replicas": 1,
        "target_age_s": 0.1,
        "upscale_s": 0.1,
        "downscale_s": 5.0,
    }
    crew.deploy(1, deploy=deploy, schedule={"max_batch": 2})
    load = Load(crew, lambda client, n: streamed(client, "base", 200), threads=24)
    with load:
        wait_until(lambda: crew.running == 2, limit_s=120)
    wait_until(lambda: crew.running == 1, limit_s=120)

    assert not load.errors
    assert {(answer.code, answer.is_whole) for answer in load.answers} == {(200, True)}
