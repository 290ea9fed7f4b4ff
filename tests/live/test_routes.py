"""The routes of the real server, as any client finds them."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI

from tests.live.completions import ask
from tests.servers import Live, wait_until


@pytest.fixture
def http(live: Live) -> Iterator[httpx.Client]:
    with live.client() as client:
        yield client


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
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
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


async def test_several_streams_of_one_request_carry_their_index(live: Live) -> None:
    official = AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none")

    texts = {0: "", 1: ""}
    chunks = await official.completions.create(
        model="a2", prompt=["Hello", "x"], max_tokens=24, temperature=0, stream=True
    )
    async for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    await official.close()

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
    assert 'hotswap_adapter_jobs_total{adapter="a3"}' in text
    assert "hotswap_generated_tokens_total" in text


def test_an_unknown_route_names_the_families_of_routes(http: httpx.Client) -> None:
    ours = http.post("/v1/generate", json={}).json()["error"]
    djls = http.get("/workflows/a/b/c").json()

    assert (ours["type"], ours["code"]) == ("NotFoundError", 404)
    for text in (ours["message"], djls["message"]):
        for family in ("/v1/chat/completions", "/invocations", "/adapters", "/health"):
            assert family in text


def test_head_is_answered_wherever_get_is(http: httpx.Client) -> None:
    for path in ["/health", "/health/live", "/ping", "/v1/models", "/metrics"]:
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert http.head("/v1/events").status_code == 200
    assert http.head("/v1/completions").status_code == 405


def test_every_answer_is_counted_by_its_code(http: httpx.Client) -> None:
    def counted() -> dict[str, float]:
        lines = http.get("/metrics").text.splitlines()
        found = [line.split() for line in lines if "http_responses_total{" in line]
        return {name.split('"')[1]: float(value) for name, value in found}

    before = counted()
    http.post("/v1/completions", json={})
    http.get("/nowhere")
    http.get("/v1/completions")
    http.post("/v1/completions", content=b"x" * (11 << 20))
    http.post("/v1/completions", content=b"x", headers={"content-type": "text/plain"})
    after = counted()

    more = {code: after[code] - before.get(code, 0) for code in after}
    assert {code: count for code, count in more.items() if count} == {
        "200": 1,  # the first look at the metrics
        "400": 1,
        "404": 1,
        "405": 1,
        "413": 1,
        "415": 1,
    }
