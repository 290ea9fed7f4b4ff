"""Chats without `max_tokens`, prompts asked again: `python -m benchmarks.chats`.

A server of the demo model and its adapters, and clients in this process:

- 64 chats at once with the adapter `sql`, whose answers end (the bare model's go on to
  the end of its context at times), that say nothing of their length, against the same
  with the right `max_tokens` for each: requests per second, three rounds in turn,
  medians
- a prompt of 512 tokens asked again, against a single step (the mean gap of its
  stream): seconds to the first token, medians

Hides: the clients share the cores with the server.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.servers import server
from hotswap.demo.__main__ import ADAPTERS, model_file
from hotswap.model.load import convert_gguf

CHATS, ROUNDS, PROMPT, STEPS = 64, 3, 512, 24
QUESTION = (
    "Table people(name, age, city, job, salary, email). "
    "What are the emails of people older than {}?"
)


async def chats(client: httpx.AsyncClient, lengths: list[int] | None) -> list[int]:
    """The tokens of each answer."""

    async def ask(n: int) -> int:
        body: dict[str, Any] = {
            "model": "sql",
            "messages": [{"role": "user", "content": QUESTION.format(n + 20)}],
            "temperature": 0,
        }
        if lengths is not None:
            body["max_tokens"] = lengths[n]
        answer = await client.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        return int(answer.json()["usage"]["completion_tokens"])

    return list(await asyncio.gather(*map(ask, range(CHATS))))


async def stream(client: httpx.AsyncClient, prompt: list[int]) -> tuple[float, float]:
    """Seconds to the first token, and of a step after it."""
    body = {"prompt": prompt, "max_tokens": STEPS, "stream": True, "ignore_eos": True}
    begun, times = time.perf_counter(), []
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                times.append(time.perf_counter())
    return times[0] - begun, (times[-1] - times[0]) / (len(times) - 1)


async def measured(url: str) -> dict[str, float]:
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        lengths = await chats(client, None)
        rates: dict[str, list[float]] = {"none": [], "right": []}
        for _ in range(ROUNDS):
            for name, given in (("none", None), ("right", lengths)):
                begun = time.perf_counter()
                await chats(client, given)
                rates[name].append(CHATS / (time.perf_counter() - begun))
        firsts, steps, cold = [], [], []
        for n in range(2 * ROUNDS + 1):
            prompt = [1000 + (7 * i + n) % 5000 for i in range(PROMPT)]
            cold.append((await stream(client, prompt))[0])
            first, step = await stream(client, prompt)
            firsts.append(first)
            steps.append(step)
    none, right = (statistics.median(rates[name]) for name in ("none", "right"))
    first, step = statistics.median(firsts), statistics.median(steps)
    return {
        "chats per s, no max_tokens": none,
        "chats per s, the right ones": right,
        "ratio": none / right,
        "first token of a new prompt, s": statistics.median(cold),
        "first token of a known one, s": first,
        "a step, s": step,
        "first token in steps": first / step,
    }


def main() -> None:
    model = convert_gguf(model_file())
    with server("ours", model, ADAPTERS, Path(), rank=16, dtype="auto") as ours:
        found = asyncio.run(measured(ours.url))
    print("| what | measured |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.3g} |")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
