"""[limits] over HTTP: who reaches one is told which, and the others are served.

Those of a connection alone are in `tests/hotswap/test_connections.py`.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.echo import app
from hotswap.keys import key_file
from hotswap.keys.access_key import made
from tests.servers import Live, wait_until

Options = dict[str, str] | None
COMPLETIONS = "/v1/completions"
BODIES = {"body_bytes": 2000, "all_bodies_bytes": 3000, "body_s": 0.5}
HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    for name in ("pirate", "sql", "poet"):
        (root / name).mkdir()
        (root / name / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
        (root / name / WEIGHTS_FILE).write_bytes(b"weights")
    return root


@contextmanager
def serving(
    directory: Path,
    max_waiting: int,
    server: dict[str, str] | None = None,
    **limits: Any,
) -> Iterator[httpx.Client]:
    """One job at a time, in order of arrival. `server`: options of [server]."""
    schedule = {"policy": "fcfs-mixed", "max_batch": 1, "max_waiting": max_waiting}
    settings = config.load(
        None,
        {
            "model": {"path": "echo"},
            "adapters": {"directory": str(directory)},
            "schedule": schedule,
            "server": server or {},
            "limits": limits,
        },
    )
    with Live(app.build(settings), settings.limits) as live, live.client() as client:
        if not server:
            wait_until(lambda: _ready(client) == 3)
        yield client


def _ready(client: httpx.Client) -> int:
    rows = client.get("/v1/adapters").json()["data"]
    return sum(row["state"] == "ready" for row in rows)


def is_served(client: httpx.Client) -> bool:
    answer = client.post(COMPLETIONS, json={"prompt": "hi", "max_tokens": 2})
    return answer.status_code == 200 and answer.json()["choices"][0]["text"] == "hi"


@pytest.fixture(scope="module")
def small(directory: Path) -> Iterator[httpx.Client]:
    with serving(directory, 20, None, jobs_per_request=3, **BODIES) as client:
        yield client


def raw(client: httpx.Client, sent: bytes) -> socket.socket:
    sock = socket.create_connection((client.base_url.host, client.base_url.port), 20)
    sock.sendall(sent)
    return sock


def refusal(sock: socket.socket) -> bytes:
    """A whole one, as it goes out."""
    found = b""
    while not found.endswith(b"}}"):
        found += sock.recv(65536) or b"}}"
    return found


def error(answer: httpx.Response | bytes) -> str:
    text = answer.decode() if isinstance(answer, bytes) else answer.text
    return text.partition('"message":"')[2].partition('"')[0]


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_that_is_too_large_is_refused_and_one_that_fits_is_not(
    small: httpx.Client, *, is_announced: bool
) -> None:
    def post(size: int) -> httpx.Response:
        body = b'{"prompt": "hi", "max_tokens": 1}'.ljust(size)
        content = body if is_announced else iter([body[:100], body[100:]])
        return small.post(COMPLETIONS, content=content)

    assert post(2000).status_code == 200
    refused = post(2001)
    assert refused.status_code == 413
    assert error(refused) == "the body has more than 2000 bytes (`limits.body_bytes`)"
    assert is_served(small)


def test_of_half_sent_bodies_that_are_too_much_together_the_largest_is_refused(
    small: httpx.Client,
) -> None:
    half = HEAD % 2000 + b" " * 1600
    with raw(small, half + b" ") as large, raw(small, half):
        told = refusal(large)
        assert is_served(small)

    assert told.startswith(b"HTTP/1.1 429")
    assert b"retry-after" in told
    assert "more than 3000 bytes (`limits.all_bodies_bytes`)" in error(told)


def test_a_body_that_does_not_come_is_refused(small: httpx.Client) -> None:
    with raw(small, HEAD % 2000 + b"{") as slow:
        assert is_served(small)
        told = refusal(slow)

    assert told.startswith(b"HTTP/1.1 408")
    assert error(told) == "the body did not come within 0.5 s (`limits.body_s`)"


def test_a_request_for_too_many_answers_is_refused(small: httpx.Client) -> None:
    body = {"prompt": ["a", "b"], "n": 2, "max_tokens": 1}

    refused = small.post(COMPLETIONS, json=body)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "prompt"
    assert "at most 3 (`limits.jobs_per_request`)" in error(refused)
    assert small.post(COMPLETIONS, json=body | {"n": 1}).status_code == 200


class Crowd:
    """A server whose one seat is taken, and those who wait for it."""

    def __init__(self, client: httpx.Client, pool: ThreadPoolExecutor) -> None:
        self._client, self._pool = client, pool
        self._waiting: list[Future[httpx.Response]] = []

    def _ask(self, adapter: str, key: str) -> httpx.Response:
        body = {"prompt": "hi", "max_tokens": 2, "adapter": adapter}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return self._client.post(COMPLETIONS, json=body, headers=headers)

    def let_in(self, adapter: str, key: str = "") -> str:
        """One more: "" if it waits now, else what it was refused with."""
        asked = self._pool.submit(self._ask, adapter, key)
        before = len(self._waiting)
        wait_until(lambda: asked.done() or self.waiting > before)
        if asked.done():
            assert asked.result().status_code == 429
            assert "retry-after" in asked.result().headers
            return error(asked.result())
        self._waiting.append(asked)
        return ""

    @property
    def waiting(self) -> int:
        return int(self._client.get("/v1/status").json()["waiting"])

    def all_are_served(self) -> bool:
        return all(asked.result().text.count("hi") for asked in self._waiting)


@contextmanager
def crowded(client: httpx.Client) -> Iterator[Crowd]:
    """Until the end of the block one stream holds the seat; then all are answered."""
    long = {"prompt": "x", "max_tokens": 30_000, "ignore_eos": True, "stream": True}
    with ThreadPoolExecutor(20) as pool:
        crowd = Crowd(client, pool)
        with client.stream("POST", COMPLETIONS, json=long) as answer:
            assert answer.status_code == 200
            yield crowd
        assert crowd.all_are_served()


def test_a_flood_of_one_adapter_leaves_room_for_the_others(directory: Path) -> None:
    with serving(directory, 8) as client, crowded(client) as crowd:
        floods = [[crowd.let_in(name) for _ in range(5)] for name in ("pirate", "sql")]
        others = [crowd.let_in("poet"), crowd.let_in("")]

    assert [flood.count("") for flood in floods] == [4, 2]
    assert floods[0][4] == (
        "4 jobs wait already for the adapter `pirate`, as many as may "
        "(`limits.waiting_per_adapter`)"
    )
    assert others[0] == ""


def test_a_flood_with_one_key_leaves_room_for_the_others(
    directory: Path, tmp_path: Path
) -> None:
    files = {"api_keys": tmp_path / "api", "admin_keys": tmp_path / "admin"}
    secrets = []
    for name, file in (("mine", "api"), ("yours", "api"), ("me", "admin")):
        key, secret = made(name, is_admin=file == "admin")
        key_file.append(files[f"{file}_keys"], key)
        secrets.append(secret)
    mine, yours, admin = secrets
    server = {option: str(path) for option, path in files.items()}
    with serving(directory, 8, server, waiting_per_key=2) as client:
        client.headers["authorization"] = f"Bearer {admin}"
        wait_until(lambda: _ready(client) == 3)
        with crowded(client) as crowd:
            flood = [crowd.let_in(name, mine) for name in ("pirate", "sql", "poet")]
            other = crowd.let_in("pirate", yours)

    assert (flood[:2], other) == (["", ""], "")
    assert flood[2] == (
        "2 jobs wait already for the API key `mine`, as many as may "
        "(`limits.waiting_per_key`)"
    )


def test_a_full_queue_says_so(directory: Path) -> None:
    limits = {"waiting_per_adapter": 2}
    with serving(directory, 2, None, **limits) as client, crowded(client) as crowd:
        found = [crowd.let_in("pirate") for _ in range(2)]
        refused = crowd.let_in("sql")

    assert found == ["", ""]
    assert "the queue is full: 2 of at most 2" in refused
    assert "(`schedule.max_waiting`)" in refused
