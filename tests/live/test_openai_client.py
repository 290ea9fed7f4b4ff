"""OpenAI's own client against the real server: its models, its errors, its usage."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hotswap import app
from tests.servers import NO_TLS, Live, settings, wait_until

NAMES = ["org/tiny:v1", "second"]
GREEDY: dict[str, Any] = {"max_tokens": 6, "temperature": 0}
USER = {"role": "user", "content": "Hello"}


@pytest.fixture(scope="module")
def live(model_folder: Path, adapter_folders: Path) -> Iterator[Live]:
    server: dict[str, object] = {"served_model_names": NAMES}
    with Live(app.build(settings(model_folder, adapter_folders, server=server))) as up:
        yield up


@pytest.fixture(scope="module")
def http(live: Live) -> Iterator[httpx.Client]:
    with live.client() as client:
        wait_until(lambda: len(client.get("/v1/models").json()["data"]) == 10)
        yield client


@pytest.fixture(scope="module")
def client(live: Live, http: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{live.url}/v1",
        api_key="none",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=NO_TLS),
    ) as client:
        yield client


def test_every_served_name_is_the_base_and_every_adapter_is_found_by_each(
    client: openai.OpenAI,
) -> None:
    ids = [card.id for card in client.models.list()]
    text = (
        client.completions.create(model="a1", prompt="Hello", **GREEDY).choices[0].text
    )

    assert ids[:2] == NAMES
    assert sorted(ids[2:]) == [f"a{n}" for n in range(8)]
    for name in NAMES:
        base = client.completions.create(model=name, prompt="Hello", **GREEDY)
        adapter = client.completions.create(
            model=f"{name}:a1", prompt="Hello", **GREEDY
        )
        assert (base.model, adapter.model) == (name, "a1")
        assert base.choices[0].text != text
        assert adapter.choices[0].text == text


def test_a_model_is_retrieved_by_any_name_that_a_request_may_say(
    client: openai.OpenAI,
) -> None:
    for asked in [*NAMES, "a1", "second:a1", "org/tiny:v1:a1"]:
        card = client.models.retrieve(asked)
        assert card.id == ("a1" if "a1" in asked else asked)
        assert card.model_extra is not None
        assert card.model_extra["permission"][0]["allow_logprobs"] is True

    for asked in ["tiny", "nope", "org/tiny", "org/tiny:v1:nope", "a1:a1"]:
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve(asked)
        assert caught.value.body == {
            "message": f"The model `{asked}` does not exist.",
            "type": "NotFoundError",
            "param": "model",
            "code": 404,
        }


def test_djls_paths_take_every_served_name(http: httpx.Client) -> None:
    for path in ["/predictions/second", "/models/second/invoke"]:
        assert http.post(path, json={"inputs": "a"}).status_code == 200
    assert http.post("/models/org%2Ftiny:v1/invoke", json={}).status_code in (400, 404)
    assert http.get("/models/second").status_code == 200
    assert http.get("/models/second/adapters").status_code == 200
    assert http.get("/models/tiny/adapters").status_code == 404
    listed = http.get("/models").json()["models"]
    assert [model["modelName"] for model in listed] == NAMES


ERRORS: list[tuple[type[openai.APIStatusError], dict[str, Any], str]] = [
    (openai.NotFoundError, {"model": "nope"}, "model"),
    (openai.NotFoundError, {"extra_body": {"adapter": "nope"}}, "adapter"),
    (openai.BadRequestError, {"temperature": -1}, "temperature"),
    (openai.BadRequestError, {"logprobs": 21}, "logprobs"),
    (openai.BadRequestError, {"extra_body": {"adaptor": "a1"}}, "adaptor"),
    (openai.BadRequestError, {"prompt": "x" * 600}, "prompt"),
    (openai.BadRequestError, {"extra_query": {"adapters": "a1"}}, "adapters"),
]


@pytest.mark.parametrize(("kind", "fields", "param"), ERRORS, ids=str)
def test_errors_are_of_the_type_that_the_client_raises_and_name_its_field(
    kind: type[openai.APIStatusError],
    fields: dict[str, Any],
    param: str,
    client: openai.OpenAI,
) -> None:
    with pytest.raises(kind) as caught:
        client.completions.create(**{"model": "second", "prompt": "a", **fields})

    body: Any = caught.value.body
    assert (body["type"], body["param"]) == (kind.__name__, param)
    assert body["code"] == caught.value.status_code


def test_a_load_names_the_fields_of_its_own_body(http: httpx.Client) -> None:
    for body, param in [
        ({"lora_name": "x", "lora_path": "/etc"}, "lora_path"),
        ({"lora_name": "x", "lora_path": "s3://x/y"}, "lora_path"),
        ({"lora_name": "a/b", "lora_path": "a1"}, "lora_name"),
        ({"lora_name": "second", "lora_path": "a1"}, "lora_name"),
    ]:
        error = http.post("/v1/load_lora_adapter", json=body).json()["error"]
        assert error["param"] == param
        assert "`name`" not in error["message"]


def test_usage_counts_a_prompt_once_however_many_copies_answer_it(
    client: openai.OpenAI,
) -> None:
    def used(**fields: Any) -> tuple[int, int]:
        usage = client.completions.create(model="second", **{**GREEDY, **fields}).usage
        assert usage is not None
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        return usage.prompt_tokens, usage.completion_tokens

    ignoring = {"ignore_eos": True}
    one = used(prompt="Hello", extra_body=ignoring)
    three = used(prompt="Hello", n=3, extra_body=ignoring)
    two_prompts = used(prompt=["Hello", "Hello"], n=2, extra_body=ignoring)

    assert three == (one[0], 3 * one[1])
    assert two_prompts == (2 * one[0], 4 * one[1])


def test_every_chunk_but_the_last_has_usage_null_if_usage_is_asked_for(
    http: httpx.Client,
) -> None:
    def chunks(**fields: Any) -> list[dict[str, Any]]:
        body = {"messages": [USER], "stream": True, "n": 2, **GREEDY, **fields}
        lines = http.post("/v1/chat/completions", json=body).text.split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]

    *told, last = chunks(stream_options={"include_usage": True})

    assert len(told) > 2
    assert all(each["usage"] is None and each["choices"] for each in told)
    assert last["choices"] == []
    used = last["usage"]
    assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"]
    for options in (None, {}, {"include_usage": None}, {"include_usage": False}):
        assert all("usage" not in each for each in chunks(stream_options=options))
    refused = http.post(
        "/v1/chat/completions",
        json={"messages": [USER], "stream_options": {"include_usages": True}},
    )
    assert refused.json()["error"]["param"] == "stream_options.include_usages"


def test_max_completion_tokens_is_max_tokens_on_both_routes(http: httpx.Client) -> None:
    prompts: list[tuple[str, dict[str, Any]]] = [
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/chat/completions", {"messages": [USER]}),
    ]
    for path, prompt in prompts:
        body: dict[str, Any] = {"max_completion_tokens": 3, "ignore_eos": True}
        for most in ({}, {"max_tokens": None}, {"max_tokens": 5}):
            answer = http.post(path, json=body | prompt | most).json()
            assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_that_leaves_is_one_line_at_debug_level_and_no_traceback(
    streams: bool, http: httpx.Client, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"prompt": "a", "max_tokens": 450, "ignore_eos": True, "stream": streams}
    url = f"{live.url}/v1/completions"

    with caplog.at_level(logging.DEBUG):
        if streams:
            with httpx.stream("POST", url, json=body, verify=NO_TLS) as answer:
                next(answer.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(url, json=body, timeout=0.2, verify=NO_TLS)
        wait_until(lambda: not http.get("/v1/status").json()["live"])
        wait_until(lambda: any("completions" in m for m in caplog.messages))

    assert not [r for r in caplog.records if r.exc_info]
    lines = [r for r in caplog.records if "/v1/completions" in r.getMessage()]
    lines = [r for r in lines if r.name == "hotswap.api.middleware"]
    assert [r.levelno for r in lines] == [logging.DEBUG]
    assert (" 200 " if streams else " 499 ") in lines[0].getMessage()
