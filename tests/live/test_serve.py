"""The real server over HTTP: every client gets its own adapter's answer, always."""

import asyncio
import random
from pathlib import Path

import httpx
import pytest

from hotswap import app
from tests.live.completions import ask, client, stream
from tests.servers import Live, settings

PROMPTS = ["Hello", "Once upon a time", "1 2 3 4 5 6 7 8", "ab" * 40, "x"]
ADAPTERS = ["", *(f"a{n}" for n in range(7))]


def serial(url: str) -> dict[tuple[str, str], str]:
    return {(a, p): ask(url, a, p) for a in ADAPTERS for p in PROMPTS}


def test_adapters_differ_from_each_other_and_from_the_base(live: Live) -> None:
    texts = [ask(live.url, adapter, PROMPTS[0]) for adapter in ADAPTERS]

    assert len(set(texts)) == len(texts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy", ["affinity", "fcfs-mixed", "fcfs-merged", "longest-queue"]
)
async def test_eight_concurrent_clients_get_what_each_gets_alone(
    policy: str, model_folder: Path, adapter_folders: Path
) -> None:
    async def one(url: str, number: int) -> list[tuple[tuple[str, str], str]]:
        rng = random.Random(number)
        adapter = ADAPTERS[number]
        got = []
        async with client() as http:
            for _ in range(12):
                prompt = rng.choice(PROMPTS)
                if number % 2:
                    text = await stream(http, url, adapter, prompt)
                else:
                    text = await asyncio.to_thread(ask, url, adapter, prompt)
                got.append(((adapter, prompt), text))
        return got

    configured = settings(
        model_folder, adapter_folders, policy=policy, patience_s=0.025, max_batch=6
    )
    with Live(app.build(configured)) as server:
        alone = serial(server.url)

        found = await asyncio.gather(*(one(server.url, n) for n in range(8)))

    wrong = [(k, t, alone[k]) for got in found for k, t in got if t != alone[k]]
    assert not wrong
    assert sum(len(got) for got in found) == 96


@pytest.mark.slow
async def test_the_same_greedy_text_alone_merged_mixed_parked_and_streaming(
    live: Live, model_folder: Path, adapter_folders: Path
) -> None:
    inputs = [PROMPTS[n % len(PROMPTS)] for n in range(8)]
    adapters = ["", *(f"a{n}" for n in range(7))]
    alone = [ask(live.url, a, p) for a, p in zip(adapters, inputs, strict=True)]
    body = {
        "inputs": inputs,
        "adapters": adapters,
        "parameters": {"max_new_tokens": 24},
    }

    # affinity with so short a patience parks and resumes its jobs all the time
    for policy, mode in (
        ("fcfs-merged", "merged"),
        ("fcfs-mixed", "mixed"),
        ("affinity", ""),
    ):
        configured = settings(
            model_folder, adapter_folders, policy=policy, patience_s=0.005
        )
        with Live(app.build(configured)) as server:
            batch = httpx.post(f"{server.url}/invocations", json=body, timeout=60)

        assert [item["generated_text"] for item in batch.json()] == alone
        assert mode in batch.headers["x-hotswap-mode"]

    async with client() as http:
        streamed = [
            await stream(http, live.url, a, p)
            for a, p in zip(adapters, inputs, strict=True)
        ]
    assert streamed == alone


async def test_the_same_seed_gives_the_same_text_whatever_runs_beside_it(
    live: Live,
) -> None:
    sampled = {"temperature": 1.0, "seed": 5, "top_p": 0.9, "top_k": 50}
    alone = ask(live.url, "a1", "Hello", **sampled)

    jobs = [
        asyncio.to_thread(ask, live.url, f"a{n % 7}", "Hello", **{**sampled, "seed": n})
        for n in range(12)
    ]
    beside, *others = await asyncio.gather(
        asyncio.to_thread(ask, live.url, "a1", "Hello", **sampled), *jobs
    )

    assert beside == alone
    assert len(set(others)) > 6
