"""Whatever comes from outside, the others are served: promise 10, on the real command.

While a hostile request or folder is worked on, a plain request to another adapter
answers within a second of what it takes alone, `/health/live` within a quarter of one,
and the memory comes back.
"""

import json
import os
import shutil
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import tiny
from tests.servers import NO_TLS, free_port, spawned, wait_until

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def served(
    model_folder: Path, adapter_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("hostile")
    adapters = Path(shutil.copytree(adapter_folders, place / "adapters"))
    port = free_port()
    config = place / "config.toml"
    config.write_text(
        "[memory]\nkv_tokens = 32768\n[adapters]\nquiet_s = 0.1\n"
        "[schedule]\nmax_wait_s = 1.0\n"  # half of it a first token may wait
    )
    command = [sys.executable, "-m", "hotswap.cli", "serve", model_folder]
    command += ["--adapters", adapters, "--port", str(port), "--config", config]
    with spawned(command, port, place / "log") as process:
        found = Served(f"http://127.0.0.1:{port}", process.pid, adapters)
        wait_until(lambda: found.row("a1").get("state") == "ready", 60)
        for _ in range(5):
            found.plain()  # what runs for the first time is slower
        yield found
        found.client.close()


def others_are_served(served: Served, work: Callable[[], object]) -> None:
    """While `work` goes on, and a second after."""
    before = served.megabytes()
    alone = statistics.median(served.plain() for _ in range(5))
    health, plain = [], []
    with ThreadPoolExecutor(1) as beside:
        working = beside.submit(work)
        until = time.monotonic() + 1.0
        while not working.done() or time.monotonic() < until:
            health.append(served.health())
            plain.append(served.plain())
        working.result()
    # The second longest: a busy machine may stop anybody once.
    assert sorted(health)[-2] < LIVE_S, f"/health/live: {sorted(health)[-4:]}"
    assert sorted(plain)[-2] < alone + MORE_S, f"plain: {sorted(plain)[-4:]}"
    wait_until(lambda: served.megabytes() < before + MORE_MB, 30)


BODIES: dict[str, tuple[str, Callable[[], Any]]] = {
    "many prompts, many times": (
        "/v1/completions",
        lambda: {"prompt": [[5]] * 5000, "n": 64, "max_tokens": 1},
    ),
    "as many answers as may wait": (
        "/v1/completions",
        lambda: {"model": "a2", "prompt": ["x"] * 15, "n": 64, "max_tokens": 8},
    ),
    "many texts": ("/v1/completions", lambda: {"prompt": ["x"] * 5000}),
    "many inputs": ("/invocations", lambda: {"inputs": ["x"] * 5000}),
    "a list of a million adapters": (
        "/invocations",
        lambda: {"inputs": "x", "adapters": ["a1"] * 1_000_000},
    ),
    "a prompt of 9 MB": ("/v1/completions", lambda: {"prompt": "word " * 1_800_000}),
    "a word of 1 MB": ("/v1/completions", lambda: {"prompt": "x" * 1_000_000}),
    "a message of 9 MB": (
        "/v1/chat/completions",
        lambda: {"messages": [{"role": "user", "content": "word " * 1_800_000}]},
    ),
    "a million tokens": ("/v1/completions", lambda: {"prompt": [5] * 1_000_000}),
    "deep brackets": ("/v1/completions", lambda: b"[" * 5_000_000),
    "a million fields": (
        "/v1/completions",
        lambda: {f"field{n}": n for n in range(500_000)},
    ),
    "many long stops": (
        "/v1/completions",
        lambda: {"prompt": "x", "max_tokens": 400, "stop": ["y" * 500_000] * 16},
    ),
}


@pytest.mark.parametrize("kind", BODIES)
def test_no_body_stops_the_others(served: Served, kind: str) -> None:
    path, make = BODIES[kind]
    body = make()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def work() -> None:
        answer = served.post(path, raw)
        assert answer.status_code in (200, 400, 413, 429, 503), answer.text[:300]

    others_are_served(served, work)


def fifo(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    os.mkfifo(folder / "adapter_model.safetensors")


def socket_file(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "adapter_config.json"))


def device(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_config.json").symlink_to("/dev/zero")


def sparse(folder: Path, name: str, size: int) -> None:
    with (folder / name).open("wb") as file:
        file.truncate(size)


def tokenizer(folder: Path, **changes: object) -> None:
    tiny.tokenizer().save_pretrained(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


PANIC = {
    "type": "Replace",
    "pattern": {"Regex": "(a|aa)+$"},
    "content": "",
}
UNKNOWN = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<nobody>", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}
FOLDERS: dict[str, Callable[[Path], object]] = {
    "a pipe for weights": fifo,
    "a socket for a config": socket_file,
    "a device for a config": device,
    "weights of 100 GB": lambda folder: sparse(
        folder, "adapter_model.safetensors", 100 * 2**30
    ),
    "a sidecar of 300 MB": lambda folder: sparse(folder, "hotswap.toml", 300 * 2**20),
    "a config of 300 MB": lambda folder: sparse(
        folder, "adapter_config.json", 300 * 2**20
    ),
    "a tokenizer that panics when it decodes": lambda folder: tokenizer(
        folder, decoder=PANIC
    ),
    "a tokenizer that panics when it encodes": lambda folder: tokenizer(
        folder, post_processor=UNKNOWN
    ),
    "20,000 files": lambda folder: [
        (folder / f"file{n}").touch() for n in range(20_000)
    ],
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_no_folder_stops_the_others(served: Served, kind: str, tmp_path: Path) -> None:
    number = list(FOLDERS).index(kind)
    bad, good = served.adapters / f"bad{number}", served.adapters / f"good{number}"
    made = Path(shutil.copytree(served.adapters / "a0", tmp_path / "made"))
    FOLDERS[kind](made)

    def work() -> None:
        made.rename(bad)
        shutil.copytree(served.adapters / "a2", good)
        wait_until(lambda: served_ready(served, good.name), 10)
        wait_until(lambda: bool(served.row(bad.name).get("state")), 10)

    others_are_served(served, work)

    row = served.row(bad.name)
    assert row["state"] in ("ready", "failed"), row
    shutil.rmtree(bad)
    shutil.rmtree(good)
    wait_until(lambda: not served.row(good.name), 10)


def served_ready(served: Served, name: str) -> bool:
    return bool(served.row(name).get("state") == "ready")


TEMPLATES = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
    "{% endfor %}",
    "grows": '{{ "x" * 99999999999 }}',
    "counts": "{{ 9 ** 99999999 }}",
    "pads": '{{ "%099999999999d" % 1 }}',
    "recurses": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_no_template_stops_the_others(
    served: Served, kind: str, tmp_path: Path
) -> None:
    """Harmless when it is tried, and hostile for a message that asks for it."""
    made = Path(shutil.copytree(served.adapters / "a0", tmp_path / "made"))
    hostile = TEMPLATES[kind]
    template = "{% if messages[0]['content'] == 'attack' %}" + hostile + "{% endif %}hi"
    (made / "hotswap.toml").write_text(f"chat_template = {json.dumps(template)}\n")
    made.rename(served.adapters / f"t-{kind}")
    wait_until(lambda: served_ready(served, f"t-{kind}"), 10)

    def attack(_: int) -> httpx.Response:
        messages = [{"role": "user", "content": "attack"}]
        body = {"model": f"t-{kind}", "messages": messages}
        return served.post("/v1/chat/completions", body)

    def work() -> None:
        with ThreadPoolExecutor(12) as many:
            for answer in many.map(attack, range(12)):
                assert answer.status_code in (400, 429, 503), answer.text
                if answer.status_code == 400:
                    assert f"t-{kind}" in answer.text

    others_are_served(served, work)
    shutil.rmtree(served.adapters / f"t-{kind}")


def test_no_crowd_of_connections_stops_the_others(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    held = []

    def work() -> None:
        for number in range(300):
            with suppress(OSError):  # more than it takes
                client = socket.create_connection((host, int(port)), 5)
                held.append(client)
                if number % 3 == 1:
                    client.sendall(head)
                elif number % 30 == 2:
                    client.sendall(head + b"\r\n" + b"x" * 2_000_000)

    try:
        others_are_served(served, work)
    finally:
        for client in held:
            client.close()


def test_it_has_still_all_it_had(served: Served) -> None:
    for number in range(8):
        assert served_ready(served, f"a{number}")
    assert served.client.get("/health/ready").json()["ready"]
