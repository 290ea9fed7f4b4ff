"""Two servers behind nginx, by configs/nginx-fleet.conf: one adapter, one server."""

import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.api.shared.selection import HEADER
from tests.nginx import NGINX, ROOT, before
from tests.servers import NO_TLS, free_port, spawned, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NGINX is None, reason="no nginx here, and `make nginx` got none"
    ),
]
CONFIG = ROOT / "configs" / "nginx-fleet.conf"
ADAPTERS = [f"a{n}" for n in range(13)]  # odd: taking turns would be seen
LONG = "0123456789" * 500  # one step for each letter


@dataclass(frozen=True, slots=True)
class Fleet:
    url: str
    servers: dict[str, subprocess.Popen[bytes]]  # by address

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, verify=NO_TLS)

    def kill(self, address: str) -> None:
        os.killpg(self.servers[address].pid, signal.SIGKILL)
        self.servers[address].wait(20)


def has_read(port: int) -> bool:
    rows = httpx.get(f"http://127.0.0.1:{port}/v1/adapters", verify=NO_TLS).json()
    ready = {row["name"] for row in rows["data"] if row["state"] == "ready"}
    return ready == set(ADAPTERS)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two of `hotswap serve echo`, each with the same adapters in its own folder."""
    with ExitStack() as stack:
        servers, ports = {}, [free_port(), free_port()]
        for port in ports:
            folder = tmp_path / str(port)
            for name in ADAPTERS:
                (folder / name).mkdir(parents=True)
                (folder / name / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
                (folder / name / WEIGHTS_FILE).write_bytes(b"weights")
            command = [sys.executable, "-m", "hotswap.cli", "serve", "echo"]
            command += ["--port", str(port), "--adapters", str(folder)]
            log = tmp_path / f"{port}.log"
            server = stack.enter_context(spawned(command, port, log))
            servers[f"127.0.0.1:{port}"] = server
        for port in ports:
            wait_until(lambda port=port: has_read(port))  # type: ignore[misc]
        (tmp_path / "nginx").mkdir()
        url = stack.enter_context(before(CONFIG, ports, tmp_path / "nginx"))
        yield Fleet(url, servers)


def asked(client: httpx.Client, adapter: str, prompt: str = "Hello") -> str:
    """Which server has answered: the last that was asked."""
    answer = client.post(
        "/v1/completions", json={"prompt": prompt}, headers={HEADER: adapter}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-hotswap-adapter"] == adapter
    assert answer.json()["choices"][0]["text"] == prompt
    return answer.headers["x-upstream"].rpartition(", ")[2]


def test_an_adapter_has_one_server_however_it_is_named(fleet: Fleet) -> None:
    with fleet.client() as client:
        places = {name: asked(client, name) for name in ADAPTERS}
        assert set(places.values()) == set(fleet.servers)
        for _ in range(3):
            assert {name: asked(client, name) for name in ADAPTERS} == places
        body = {"prompt": "Hello"}
        for name in ADAPTERS:
            answer = client.post(f"/v1/completions?adapter={name}", json=body)
            assert answer.headers["x-hotswap-adapter"] == name
            assert answer.headers["x-upstream"] == places[name]


def test_the_base_is_spread_over_both(fleet: Fleet) -> None:
    with fleet.client() as client:
        places = {asked(client, "base") for _ in range(40)}

    assert places == set(fleet.servers)


def test_a_server_that_dies_loses_what_it_runs_and_nothing_elsewhere(
    fleet: Fleet,
) -> None:
    with fleet.client() as client, ExitStack() as stack:
        places = {name: asked(client, name) for name in ADAPTERS}
        by_server = defaultdict(list)
        for name, place in places.items():
            by_server[place].append(name)
        (dies, stays) = by_server
        streams = {}
        for place in (dies, stays):
            name = by_server[place][0]
            body = {"prompt": LONG, "max_tokens": len(LONG), "stream": True}
            stream = stack.enter_context(
                client.stream(
                    "POST", "/v1/completions", json=body, headers={HEADER: name}
                )
            )
            assert stream.headers["x-upstream"] == place
            streams[place] = stream.iter_lines()
            assert next(streams[place]).startswith("data: ")

        fleet.kill(dies)

        with pytest.raises(httpx.RemoteProtocolError):
            list(streams[dies])
        assert {asked(client, name) for name in by_server[dies]} == {stays}
        assert {asked(client, name) for name in by_server[stays]} == {stays}
        rest = list(streams[stays])
        assert rest[-2:] == ["data: [DONE]", ""]
        assert sum('"text":"' in line for line in rest) > len(LONG) // 2


def test_a_server_that_drains_sends_nobody_away(fleet: Fleet) -> None:
    """It answers 503 on connections that are open: nginx asks the other one."""
    with fleet.client() as client:
        places = {name: asked(client, name) for name in ADAPTERS}
        leaves = places["a0"]
        fleet.servers[leaves].send_signal(signal.SIGTERM)
        for _ in range(5):
            for name in ADAPTERS:
                asked(client, name)
        fleet.servers[leaves].wait(60)

        assert {asked(client, name) for name in ADAPTERS} == set(fleet.servers) - {
            leaves
        }
