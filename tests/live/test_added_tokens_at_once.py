"""Adapters with tokens of their own and without, at the same time and in one place."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hotswap import app
from tests import added, tiny
from tests.oracle import said_by
from tests.servers import Live, settings, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # PEFT's, while it makes adapters
]
COMPLETIONS = "/v1/completions"
PROMPTS = ["Hello", "1 2 <think> 3", "abc<stop>", "<think>Hello!"]
TOKENS = 16


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`grown` knows more tokens than the model, `plain` the model's."""
    root = tmp_path_factory.mktemp("folders")
    added.save(root / "grown")
    tiny.save_adapter(root / "plain", "llama", 1, strength=1.5, r=2)
    return root


@pytest.fixture(scope="module")
def server(model_folder: Path, folders: Path) -> Iterator[Live]:
    with Live(app.build(settings(model_folder, folders))) as live:
        url = f"{live.url}/v1/adapters"
        wait_until(lambda: len(httpx.get(url).json()["data"]) == 2)
        yield live


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


async def test_all_at_once_each_is_written_in_its_own_tokens(
    server: Live, folders: Path
) -> None:
    plain = tiny.adapted(
        tiny.model("llama"), 1, 1.5, r=2, target_modules=tiny.TARGETS["llama"]
    )
    wanted = {}
    for prompt in PROMPTS:
        wanted["grown", prompt] = added.said(folders / "grown", prompt, TOKENS)[1]
        wanted["plain", prompt] = said_by(plain, prompt, TOKENS)
        wanted["base", prompt] = said_by(tiny.model("llama"), prompt, TOKENS)

    async def ask(http: httpx.AsyncClient, name: str, prompt: str) -> str:
        body = {"model": name, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0}
        return text_of(await http.post(COMPLETIONS, json=body))

    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        found = await asyncio.gather(*(ask(http, *which) for which in wanted))

    assert found == list(wanted.values())


async def test_an_adapter_replaced_under_load_is_never_told_the_tokens_of_the_other(
    server: Live, folders: Path
) -> None:
    plain = tiny.adapted(
        tiny.model("llama"), 1, 1.5, r=2, target_modules=tiny.TARGETS["llama"]
    )
    prompt = PROMPTS[1]
    wanted = {
        "plain": said_by(plain, prompt, TOKENS),
        "grown": added.said(folders / "grown", prompt, TOKENS)[1],
    }
    body = {"model": "turn", "prompt": prompt, "max_tokens": TOKENS, "temperature": 0}
    got: list[str] = []

    async def ask(http: httpx.AsyncClient) -> str:
        return text_of(await http.post(COMPLETIONS, json=body))

    async def ask_on(http: httpx.AsyncClient) -> None:
        for _ in range(8):
            got.append(await ask(http))

    async def load(http: httpx.AsyncClient, source: str) -> None:
        asked = {"lora_name": "turn", "lora_path": source, "load_inplace": True}
        done = await http.post("/v1/load_lora_adapter", json=asked)
        assert done.status_code == 200, done.text

    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        await load(http, "plain")
        asking = asyncio.gather(*(ask_on(http) for _ in range(6)))
        for source in ("grown", "plain") * 3:
            await load(http, source)
            assert await ask(http) == wanted[source]
        await asking
        await http.delete("/adapters/turn")

    assert len(got) == 48
    assert set(got) <= set(wanted.values())
