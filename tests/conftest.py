"""Fixtures: a loaded tiny model, its adapters, a live server."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn
from litestar import Litestar

from hotswap import app, config, connections
from hotswap.model import load as load_module
from hotswap.model.kernel_choice import ChosenKernels
from hotswap.model.kernels import kernels_for
from hotswap.model.load import Loaded, load
from hotswap.model.runner import Runner
from tests import tiny

# Threads that share a tiny product wait for each other: with another process beside
# them, a hundred times as long. `make test-fast` runs two processes.
torch.set_num_threads(1)

# For httpx: no server here speaks TLS, and to read the certificates takes each client
# 60 ms.
NO_TLS = False

LoadTiny = Callable[[str], Loaded]


@pytest.fixture(scope="session", autouse=True)
def _same_kernels() -> Iterator[None]:
    """The model's own type and packed kernels: timed, tiny products differ by chance.

    Processes that tests start do time.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            load_module,
            "choose_kernels",
            lambda model, dtypes, device: ChosenKernels(
                dtypes[0], kernels_for(dtypes[0], device)
            ),
        )
        yield


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama on disk."""
    return tiny.save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def adapter_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight adapters for the tiny Llama, of different ranks and targets."""
    root = tmp_path_factory.mktemp("adapters")
    targets = tiny.TARGETS["llama"]
    for number in range(8):
        tiny.save_adapter(
            root / f"a{number}",
            "llama",
            seed=number,
            strength=1.5,
            r=2 ** (number % 4),
            target_modules=targets[number % 3 :],
            use_rslora=number == 5,
        )
    return root


@pytest.fixture
def runner(model_folder: Path) -> Runner:
    """The tiny Llama, ready to run, with two slots."""
    return Runner(load(str(model_folder), "float32", "cpu"), slots=2, kv_tokens=4096)


class Live:
    """A server on a loopback port, in a thread."""

    def __init__(self, application: Litestar) -> None:
        self.port = free_port()
        http = connections.http(
            application, host="127.0.0.1", port=self.port, drain_s=5
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


@pytest.fixture(scope="module")
def live(
    model_folder: Path, adapter_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """The real server on the tiny Llama with eight adapters."""
    with Live(app.build(settings(model_folder, adapter_folders))) as server:
        yield server


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
