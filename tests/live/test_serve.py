"""The real server over HTTP: every client gets its own adapter's answer, always."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI

from hotswap import app
from tests.servers import NO_TLS, Live, settings, wait_until

PROMPTS = ["Hello", "Once upon a time", "1 2 3 4 5 6 7 8", "ab" * 40, "x"]
ADAPTERS = ["", *(f"a{n}" for n in range(7))]


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


def serial(url: str) -> dict[tuple[str, str], str]:
    return {(a, p): ask(url, a, p) for a in ADAPTERS for p in PROMPTS}


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=120, verify=NO_TLS) as opened:
        yield opened


def test_adapters_differ_from_each_other_and_from_the_base(live: Live) -> None:
    texts = [ask(live.url, adapter, PROMPTS[0]) for adapter in ADAPTERS]

    assert len(set(texts)) == len(texts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy", ["affinity", "fcfs-mixed", "fcfs-merged", "longest-queue"]
)
def test_eight_concurrent_clients_get_what_each_gets_alone(
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

    async def all_at_once(url: str) -> list[list[tuple[tuple[str, str], str]]]:
        return await asyncio.gather(*(one(url, n) for n in range(8)))

    configured = settings(
        model_folder, adapter_folders, policy=policy, patience_s=0.025, max_batch=6
    )
    with Live(app.build(configured)) as server:
        alone = serial(server.url)

        found = asyncio.run(all_at_once(server.url))

    wrong = [(k, t, alone[k]) for got in found for k, t in got if t != alone[k]]
    assert not wrong
    assert sum(len(got) for got in found) == 96


@pytest.mark.slow
def test_the_same_greedy_text_alone_merged_mixed_parked_and_streaming(
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

    async def streamed() -> list[str]:
        async with client() as http:
            return [
                await stream(http, live.url, a, p)
                for a, p in zip(adapters, inputs, strict=True)
            ]

    assert asyncio.run(streamed()) == alone


def test_the_same_seed_gives_the_same_text_whatever_runs_beside_it(live: Live) -> None:
    sampled = {"temperature": 1.0, "seed": 5, "top_p": 0.9, "top_k": 50}
    alone = ask(live.url, "a1", "Hello", **sampled)

    async def crowd() -> list[str]:
        jobs = [
            asyncio.to_thread(
                ask, live.url, f"a{n % 7}", "Hello", **{**sampled, "seed": n}
            )
            for n in range(12)
        ]
        return await asyncio.gather(
            asyncio.to_thread(ask, live.url, "a1", "Hello", **sampled), *jobs
        )

    beside, *others = asyncio.run(crowd())
    assert beside == alone
    assert len(set(others)) > 6


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_goes_away_frees_its_jobs(live: Live, streams: bool) -> None:
    url = f"{live.url}/v1/completions"
    # Far more work than the test takes: 64 copies of 400 tokens
    body = {"prompt": "Hello", "adapter": "a1", "max_tokens": 400, "n": 64}
    body |= {"ignore_eos": True, "stream": streams}
    before = httpx.get(f"{live.url}/v1/status").json()["counters"]["cancelled"]

    def status() -> dict[str, Any]:
        return dict(httpx.get(f"{live.url}/v1/status").json())

    if streams:
        with httpx.stream("POST", url, json=body) as answer:
            next(answer.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json=body, timeout=0.2)
    wait_until(lambda: status()["live"] + status()["waiting"] == 0)

    assert status()["counters"]["cancelled"] - before > 32
    assert status()["free_kv_tokens"] == status()["kv_tokens"]


def test_the_official_client_works_as_with_openai(live: Live) -> None:
    official = OpenAI(base_url=f"{live.url}/v1", api_key="none")

    ids = [card.id for card in official.models.list()]
    whole = official.chat.completions.create(
        model="a1",
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=12,
        temperature=0,
    )
    chunks = list(
        official.chat.completions.create(
            model="tiny:a1",
            messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            max_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert ids == ["tiny", *(f"a{n}" for n in range(8))]
    parts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(parts) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    with pytest.raises(NotFoundError, match="`nope` does not exist"):
        official.completions.create(model="nope", prompt="x")


def test_copies_and_several_prompts_are_answered_in_order(live: Live) -> None:
    official = OpenAI(base_url=f"{live.url}/v1", api_key="none")

    answer = official.completions.create(
        model="a1", prompt=["Hello", "x"], n=2, max_tokens=24, temperature=0
    )

    texts = [choice.text for choice in answer.choices]
    alone = [ask(live.url, "a1", prompt) for prompt in ("Hello", "x")]
    assert texts == [alone[0], alone[0], alone[1], alone[1]]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]


def test_several_streams_of_one_request_carry_their_index(live: Live) -> None:
    official = AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none")

    async def scene() -> dict[int, str]:
        texts = {0: "", 1: ""}
        chunks = await official.completions.create(
            model="a2", prompt=["Hello", "x"], max_tokens=24, temperature=0, stream=True
        )
        async for chunk in chunks:
            texts[chunk.choices[0].index] += chunk.choices[0].text
        await official.close()
        return texts

    texts = asyncio.run(scene())
    assert texts == {0: ask(live.url, "a2", "Hello"), 1: ask(live.url, "a2", "x")}


def test_every_form_of_selection_reaches_the_adapter(live: Live) -> None:
    url, body = f"{live.url}/invocations", {"inputs": "Hello"}
    header = {"x-amzn-sagemaker-adapter-identifier": "a1"}
    base = httpx.post(url, json=body).json()

    answers = [
        httpx.post(url, json=body, headers=header),
        httpx.post(url, json=body, headers={k.upper(): v for k, v in header.items()}),
        httpx.post(url, json=body, params={"adapter": "a1"}),
        httpx.post(url, json={**body, "adapters": "a1"}),
        httpx.post(url, json={**body, "adapters": ["a1"]}),
        httpx.post(url, json={**body, "adapter": "a1"}),
        httpx.post(url, json={**body, "model": "a1"}),
        httpx.post(url, json={**body, "model": "tiny:a1"}),
        httpx.post(url, json={**body, "adapter": "a2"}, headers=header),
        httpx.post(url, json={**body, "model": "a2"}, params={"adapter": "a1"}),
        httpx.post(f"{live.url}/predictions/tiny", json=body, params={"adapter": "a1"}),
        httpx.post(f"{live.url}/models/tiny/invoke", json={**body, "adapter": "a1"}),
    ]

    assert {a.headers["x-hotswap-adapter"] for a in answers} == {"a1"}
    texts = [a.json() for a in answers]
    assert texts == [texts[0]] * len(texts)
    assert base != texts[0]


def test_health_and_metrics_answer(live: Live) -> None:
    ask(live.url, "a3", "Hello")

    assert httpx.get(f"{live.url}/health").json() == {"ready": True, "trouble": []}
    assert httpx.get(f"{live.url}/health/live").json()["alive"]
    assert httpx.get(f"{live.url}/ping").json() == {"tiny": {"status": "Healthy"}}
    text = httpx.get(f"{live.url}/metrics").text
    assert 'hotswap_adapter_requests_total{adapter="a3"}' in text
    assert "hotswap_generated_tokens_total" in text
