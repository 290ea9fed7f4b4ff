"""A server whose budget holds no slot beside golden."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec

from hotswap import app
from hotswap.config import MemoryConfig
from tests.conftest import Live, settings, wait_until

NAMES = ["a0", "a1", "a2", ""] * 3


def ask(url: str, adapter: str) -> str:
    body = {"prompt": "Hello", "adapter": adapter, "max_tokens": 12, "temperature": 0}
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


def is_read(url: str) -> bool:
    known = httpx.get(f"{url}/v1/adapters").json()["data"]
    return len([a for a in known if a["state"] == "ready"]) == 8


def test_it_answers_as_one_with_room_whatever_is_asked_at_once(
    live: Live, model_folder: Path, adapter_folders: Path
) -> None:
    roomy = settings(model_folder, adapter_folders)
    memory = MemoryConfig(budget_gb=1e-4, kv_tokens=8192)
    tight = app.build(msgspec.structs.replace(roomy, memory=memory))
    with Live(tight) as server, ThreadPoolExecutor(4) as pool:
        for url in (server.url, live.url):
            wait_until(lambda url=url: is_read(url))  # type: ignore[misc]
        found = list(pool.map(lambda name: ask(server.url, name), NAMES))
        wanted = list(pool.map(lambda name: ask(live.url, name), NAMES))
        status = httpx.get(f"{server.url}/v1/status").json()

    assert found == wanted
    assert status["memory"]["slots"] == 1
    assert status["counters"]["failed"] == 0
