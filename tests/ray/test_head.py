"""The head node's store is killed and comes back: whoever is served goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.ray.test_deploying import echo_settings, make
from tests.servers import NO_TLS, free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

BIN = Path(sys.executable).parent
TOKENS = 4000


def processes(folder: Path) -> dict[int, list[str]]:
    """Of the cluster whose store is in `folder`, with their commands."""
    marker, found = f"RAY_gcs_storage_path={folder}".encode(), {}
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marker in (each / "environ").read_bytes().split(b"\0"):
                command = (each / "cmdline").read_bytes().decode().split("\0")
                found[int(each.name)] = command[:-1]
    return found


def named(folder: Path, name: str) -> set[int]:
    return {
        n for n, command in processes(folder).items() if name in "".join(command[:1])
    }


@contextmanager
def cluster(store: Path, port: int) -> Iterator[None]:
    """As `ray start` makes one, which keeps in a folder what it knows."""
    started = [str(BIN / "ray"), "start", "--head", f"--port={port}", "--num-cpus=4"]
    started += ["--include-dashboard=false", "--disable-usage-stats"]
    subprocess.run(started, check=True, capture_output=True)
    try:
        yield
    finally:
        while there := processes(store):
            for pid in there:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_streams_and_requests_go_on_while_the_store_is_gone_and_replicas_come_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, head, port = tmp_path / "store", free_port(), free_port()
    for name, value in {
        "RAY_gcs_storage": "rocksdb",
        "RAY_gcs_storage_path": str(store),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "hotswap.ray.proxy:middlewares",
        "RAY_AUTH_MODE": "disabled",
        "PYTHONPATH": str(Path.cwd()),
    }.items():
        monkeypatch.setenv(name, value)
    make(tmp_path / "adapters" / "pirate")
    deploy = [sys.executable, "-m", "hotswap.cli", "deploy"]
    deploy += [str(echo_settings(tmp_path))]
    deploy += [f"--address=127.0.0.1:{head}", f"--port={port}", "--replicas=2"]
    url, body = f"http://127.0.0.1:{port}", {"model": "pirate", "prompt": "Hello"}
    with (
        cluster(store, head),
        httpx.Client(base_url=url, verify=NO_TLS, timeout=60) as client,
    ):
        subprocess.run(deploy, check=True, capture_output=True, timeout=240)

        def is_answered() -> bool:
            return client.post("/v1/completions", json=body).status_code == 200

        wait_until(is_answered)
        long = {**body, "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
        with client.stream("POST", "/v1/completions", json=long) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("data: {")
            (gcs,) = named(store, "gcs_server")
            again = processes(store)[gcs]
            os.kill(gcs, signal.SIGKILL)
            wait_until(lambda: not named(store, "gcs_server"))
            assert all(is_answered() for _ in range(40))
            back = subprocess.Popen(
                again, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            assert all(is_answered() for _ in range(40))
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert len(rest) > TOKENS - 2

        killed = min(named(store, "ray::ServeReplica"))
        os.kill(killed, signal.SIGKILL)
        wait_until(
            lambda: len(named(store, "ray::ServeReplica") - {killed}) == 2, limit_s=120
        )
        wait_until(is_answered)
        assert back.poll() is None
    back.wait(10)
