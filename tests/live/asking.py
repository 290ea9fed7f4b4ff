"""A small server with adapters of the same weights, and what it is asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from hotswap import app
from tests import tiny
from tests.servers import Live, settings, wait_until

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
GREEDY = {"temperature": 0}


def save_adapter(root: Path) -> Path:
    """One that changes what the tiny model says."""
    return tiny.save_adapter(root / "x", "llama", 1, strength=1.5, r=2)


def serve(model: Path, directory: Path, **sections: Any) -> Iterator[httpx.Client]:
    count = len(list(directory.iterdir()))
    with (
        Live(app.build(settings(model, directory, **sections))) as server,
        server.client() as client,
    ):
        wait_until(lambda: len(client.get("/adapters").json()["adapters"]) == count)
        yield client


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def complete(client: httpx.Client, adapter: str, **body: Any) -> tuple[str, int]:
    """Text and number of tokens."""
    answer = post(client, COMPLETIONS, prompt="Hello", adapter=adapter, **body)
    return answer["choices"][0]["text"], answer["usage"]["completion_tokens"]


def invoke(client: httpx.Client, adapter: str, **parameters: Any) -> dict[str, Any]:
    given = {"details": True, **parameters}
    return post(
        client, "/invocations", inputs="Hello", adapter=adapter, parameters=given
    )
