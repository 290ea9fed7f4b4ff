"""A client of the completions route: the text of one answer, whole or streamed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.servers import NO_TLS


def ask(url: str, adapter: str, prompt: str, **more: Any) -> str:
    body = {"prompt": prompt, "adapter": adapter, "max_tokens": 24, "temperature": 0}
    answer = httpx.post(
        f"{url}/v1/completions", json={**body, **more}, timeout=60, verify=NO_TLS
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-hotswap-adapter"] == (adapter or "base")
    return str(answer.json()["choices"][0]["text"])


async def stream(client: httpx.AsyncClient, url: str, adapter: str, prompt: str) -> str:
    body = {
        "prompt": prompt,
        "adapter": adapter,
        "max_tokens": 24,
        "temperature": 0,
        "stream": True,
    }
    text = ""
    async with client.stream("POST", f"{url}/v1/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                text += json.loads(line[6:])["choices"][0]["text"]
    return text


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=120, verify=NO_TLS) as opened:
        yield opened
