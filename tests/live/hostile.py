"""The real command beside something hostile, and what the others are owed meanwhile."""

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.servers import NO_TLS, free_port, spawned, wait_until

LIVE_S, MORE_S, MORE_MB = 0.25, 1.0, 200
PLAIN = {"model": "a1", "prompt": "Hello", "max_tokens": 8, "temperature": 0}


class Served:
    """The real command on a tiny model; `adapters` is what it watches."""

    def __init__(self, url: str, pid: int, adapters: Path) -> None:
        self.url, self.pid, self.adapters = url, pid, adapters
        self.client = httpx.Client(base_url=url, timeout=60, verify=NO_TLS)

    def post(self, path: str, body: Any) -> httpx.Response:
        url, json_type = f"{self.url}{path}", {"content-type": "application/json"}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(url, content=raw, headers=json_type, timeout=60)

    def plain(self) -> float:
        """Seconds that an ordinary request takes."""
        start = time.monotonic()
        answer = self.client.post("/v1/completions", json=PLAIN)
        assert answer.status_code == 200, answer.text
        return time.monotonic() - start

    def health(self) -> float:
        start = time.monotonic()
        assert self.client.get("/health/live").status_code == 200
        return time.monotonic() - start

    def megabytes(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(x for x in status.splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def row(self, name: str) -> dict[str, Any]:
        answer = self.client.get(f"/v1/adapters/{name}")
        return dict(answer.json()) if answer.status_code == 200 else {}

    def is_ready(self, name: str) -> bool:
        return bool(self.row(name).get("state") == "ready")


@contextmanager
def serving(model_folder: Path, adapter_folders: Path, place: Path) -> Iterator[Served]:
    """The real command, with adapters a0 to a7, when it is warm."""
    adapters = Path(shutil.copytree(adapter_folders, place / "adapters"))
    port = free_port()
    config = place / "config.toml"
    config.write_text(
        "[memory]\nkv_tokens = 32768\n[adapters]\nquiet_s = 0.1\n"
        "[schedule]\npatience_s = 0.5\n"  # so long a first token may wait
    )
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "hotswap.cli",
        "serve",
        model_folder,
    ]
    command += ["--adapters", adapters, "--port", str(port), "--config", config]
    with spawned(command, port, place / "log") as process:
        found = Served(f"http://127.0.0.1:{port}", process.pid, adapters)
        wait_until(lambda: found.row("a1").get("state") == "ready", 60)
        for _ in range(5):
            found.plain()  # what runs for the first time is slower
        yield found
        found.client.close()


def others_are_served(served: Served, work: Callable[[], object]) -> None:
    """While `work` goes on, and until a folder that came has been read."""
    before = served.megabytes()
    alone = statistics.median(served.plain() for _ in range(5))
    health, plain = [], []
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(work)
        until = time.monotonic() + 0.6
        while not working.done() or time.monotonic() < until:
            health.append(served.health())
            plain.append(served.plain())
        working.result()
    # The second longest: a busy machine may stop anybody once.
    assert sorted(health)[-2] < LIVE_S, f"/health/live: {sorted(health)[-4:]}"
    assert sorted(plain)[-2] < alone + MORE_S, f"plain: {sorted(plain)[-4:]}"
    wait_until(lambda: served.megabytes() < before + MORE_MB, 30)


def has_all_it_had(served: Served) -> bool:
    rows = [served.is_ready(f"a{number}") for number in range(8)]
    return all(rows) and bool(served.client.get("/health/ready").json()["ready"])
