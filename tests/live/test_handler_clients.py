"""Whose request a handler answers: its key bounds it, and it ends with its client."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.handlers import handled
from tests.live.locked import Locked, locked
from tests.servers import wait_until

ASKS = """
from djl_python import Output
from hotswap.handler import generate

def handle(inputs):
    if inputs.is_empty():
        return None
    said = inputs.get_as_json()
    if "shown" in said:
        return Output().add(sorted(inputs.get_properties()))
    return Output().add(generate(**said))
"""
LONG = {"max_new_tokens": 30_000, "ignore_eos_token": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    work = tmp_path_factory.mktemp("locked")
    (work / "model.py").write_text(ASKS)
    with locked(work, str(work / "model.py")) as made:
        yield made


@pytest.fixture(scope="module")
def key(server: Locked) -> str:
    return server.added("shop", adapters=("sql",))


def test_a_handler_is_not_told_the_key(server: Locked) -> None:
    answer = server.ask("POST", "/invocations", server.api, json={"shown": 1})

    assert "host" in answer.json()
    assert "authorization" not in answer.json()


@pytest.mark.parametrize(
    ("query", "adapter", "code"),
    [
        ("?adapter=sql", None, 200),
        ("", "sql", 200),
        ("?adapter=pirate", None, 424),
        ("?adapter=sql", "pirate", 424),
        ("", "corsair", 424),
        ("", None, 403),  # the bare model
        ("", "", 403),
    ],
)
def test_a_handler_asks_for_what_its_requests_key_may(
    server: Locked, key: str, query: str, adapter: str | None, code: int
) -> None:
    body = {"inputs": "abc"} | ({} if adapter is None else {"adapter": adapter})

    answer = server.ask("POST", f"/invocations{query}", key, json=body)

    assert answer.status_code == code, answer.text
    if code == 424:
        assert "is not registered" in answer.json()["message"]


def test_what_a_handler_has_asked_ends_when_its_client_leaves(tmp_path: Path) -> None:
    with handled(tmp_path, ASKS) as client:

        def live() -> int:
            return int(client.get("/v1/status").json()["live"])

        body = {"inputs": "abc", "parameters": LONG}
        with pytest.raises(httpx.ReadTimeout):
            client.post("/invocations", json=body, timeout=0.3)
        wait_until(lambda: live() == 0, limit_s=2)

        # Its one thread is free again.
        assert client.post("/invocations", json={"inputs": "a"}).status_code == 200
