"""A server that asks for keys, without a model; who asks it, and what it holds."""

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.echo import app
from hotswap.keys import key_file
from hotswap.keys.access_key import made
from tests.raw_http import rest
from tests.servers import Live, wait_until

ADAPTERS = ("orders", "pirate", "sql")
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Locked:
    """`api`, `admin`: secrets. `files`: the folder of the files of keys."""

    live: Live
    api: str
    admin: str
    files: Path

    def added(self, name: str, **limits: Any) -> str:
        """The secret of a new API key, which the server knows when this returns."""
        key, secret = made(name, **limits)
        key_file.append(self.files / "api.jsonl", key)
        wait_until(lambda: self.get("/v1/models", secret).status_code == 200)
        return secret

    def get(self, path: str, key: str = "") -> httpx.Response:
        return self.ask("GET", path, key)

    def ask(self, method: str, path: str, key: str = "", **said: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with self.live.client() as client:
            return client.request(method, path, headers=headers, **said)

    def raw(
        self, method: str, path: str, headers: Sequence[Header], body: object = None
    ) -> tuple[int, str]:
        """As it stands here: nothing is put in order on the way."""
        connection = http.client.HTTPConnection("127.0.0.1", self.live.port, timeout=30)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value.encode("utf-8"))
        sent = b"" if body is None else json.dumps(body).encode()
        if sent:
            connection.putheader("content-type", "application/json")
            connection.putheader("content-length", str(len(sent)))
        connection.endheaders(sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def state(self) -> list[object]:
        """All that managing could change; not how often somebody has asked."""
        rows = self.get("/v1/adapters", self.admin).json()["data"]
        told = [
            {k: v for k, v in row.items() if k not in ("requests", "leases")}
            for row in rows
        ]
        return [told, self.get("/workflows", self.admin).json()]


@contextmanager
def locked(folder: Path, handler: str = "", **server: object) -> Iterator[Locked]:
    """`folder` gets adapters and keys. `handler`: the file of one. `server`: options of
    [server]."""
    directory, files = folder / "adapters", folder / "keys"
    files.mkdir()
    for name in ADAPTERS:
        (directory / name).mkdir(parents=True)
        (directory / name / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
        (directory / name / WEIGHTS_FILE).write_bytes(name.encode())
    (directory / "pirate" / SIDECAR_FILE).write_text('aliases = ["corsair"]')
    secrets = []
    for name, is_admin in (("api", False), ("admin", True)):
        key, secret = made(name, is_admin=is_admin)
        key_file.append(files / f"{name}.jsonl", key)
        secrets.append(secret)
    told: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(directory), "quiet_s": 0.05},
        "hooks": {"handler": handler},
        "server": {
            "api_keys": str(files / "api.jsonl"),
            "admin_keys": str(files / "admin.jsonl"),
            **server,
        },
    }
    with Live(app.build(config.load(None, told))) as live:
        made_of = Locked(live, secrets[0], secrets[1], files)

        def are_ready() -> bool:
            rows = made_of.get("/v1/adapters", made_of.admin).json()["data"]
            return [row["state"] for row in rows] == ["ready"] * len(ADAPTERS)

        wait_until(are_ready)
        yield made_of


def behind_another(server: Locked, first: str, second: str) -> bytes:
    """What a request without a key is told on the connection of one with an admin key,
    sent before that is answered."""
    get = "GET {} HTTP/1.1\r\nhost: localhost\r\n{}\r\n"
    key = f"authorization: Bearer {server.admin}\r\n"
    sent = get.format(first, key) + get.format(second, "connection: close\r\n")
    with socket.create_connection(("127.0.0.1", server.live.port), timeout=20) as sock:
        sock.sendall(sent.encode())
        found = rest(sock)
    answers = found.split(b"HTTP/1.1 ")[1:]
    assert answers[0].startswith(b"200")
    return answers[1]
