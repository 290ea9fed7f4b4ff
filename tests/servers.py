"""Helpers of tests that start a server: in a thread, or by its command."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from litestar import Litestar

from hotswap import config, connections
from hotswap.limit_options import DEFAULTS, LimitsConfig

# For httpx: no server here speaks TLS, and to read the certificates takes each client
# 60 ms.
NO_TLS = False


class Live:
    """A server on a loopback port, in a thread."""

    def __init__(
        self,
        application: Litestar,
        limits: LimitsConfig = DEFAULTS,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        http = connections.http(
            application, host="127.0.0.1", port=self.port, drain_s=5, limits=limits
        )
        self.server = uvicorn.Server(http)
        self._thread = threading.Thread(target=self.server.run)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, verify=NO_TLS)

    def __enter__(self) -> "Live":
        self._thread.start()
        wait_until(lambda: self.server.started or not self._thread.is_alive())
        assert self.server.started, "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server did not stop"


def settings(
    model: Path,
    directory: Path,
    dtype: str = "float32",
    *,
    server: dict[str, object] | None = None,
    adapters: dict[str, object] | None = None,
    lora: dict[str, object] | None = None,
    hooks: dict[str, object] | None = None,
    **schedule: object,
) -> config.Config:
    """A small server's configuration."""
    return config.load(
        None,
        {
            "model": {"path": str(model), "dtype": dtype, "device": "cpu"},
            "memory": {"slots": 2, "kv_tokens": 8192},
            "adapters": {
                "directory": str(directory),
                "quiet_s": 0.05,
                **(adapters or {}),
            },
            "server": {"drain_s": 5.0, **(server or {})},
            "schedule": schedule,
            "lora": lora or {},
            "hooks": hooks or {},
        },
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def spawned(
    command: Sequence[str | Path], port: int, log: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server's command in a process group of its own, up and healthy; ended after."""
    with log.open("w") as out:
        server = subprocess.Popen(
            command, cwd=cwd, stdout=out, stderr=out, start_new_session=True
        )

    def is_up() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            url = f"http://127.0.0.1:{port}/health"
            return httpx.get(url, verify=NO_TLS).status_code == 200
        except httpx.ConnectError:
            return False

    try:
        wait_until(is_up, limit_s=240)
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
    assert "Traceback" not in log.read_text()


def wait_until(condition: Callable[[], bool], limit_s: float = 20) -> None:
    """Poll a condition that another thread will make true."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        threading.Event().wait(0.01)


def imported(log: Path) -> set[str]:
    """The packages that Python has said it imported, told to by `-X importtime`."""
    said = re.findall(r"^import time:.*\| +([a-z]\w*)", log.read_text(), re.M)
    assert "hotswap" in said
    return set(said)
