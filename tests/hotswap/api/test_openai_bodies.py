"""OpenAI's bodies on DJL's routes are answered as on OpenAI's own."""

import json
from typing import Any

import pytest
from litestar.testing import TestClient
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.fake_server import FakeEngine
from tests.hotswap.api.tgi.conftest import plain_engine, scorer

__all__ = ["plain_engine", "scorer"]
ROUTES = ["/invocations", "/predictions/tiny", "/models/tiny/invoke"]
ROUTES += ["/endpoints/tiny/invocations"]
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "abc"}]}
TEXT: dict[str, Any] = {"prompt": "abc"}
OWN = {"id", "created"}  # of each answer
KINDS = [
    pytest.param(CHAT, "/v1/chat/completions", ChatCompletion, id="chat"),
    pytest.param(TEXT, "/v1/completions", Completion, id="text"),
]
IDENTIFIER = "X-Amzn-SageMaker-Adapter-Identifier"


def plain(said: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in OWN}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(("body", "own", "kind"), KINDS)
def test_the_answer_is_that_of_openais_route(
    path: str, body: dict[str, Any], own: str, kind: Any, client: TestClient
) -> None:
    asked = body | {"max_tokens": 7, "stop": ["#"]}

    found = client.post(path, json=asked)
    expected = client.post(own, json=asked)

    assert found.status_code == 200, found.text
    kind.model_validate(found.json(), strict=True)
    assert plain(found.json()) == plain(expected.json())
    assert found.headers["x-hotswap-adapter"] == "base"


@pytest.mark.parametrize(("body", "own", "kind"), KINDS)
def test_what_is_asked_is_what_openais_route_asks(
    body: dict[str, Any], own: str, kind: Any, client: TestClient, engine: FakeEngine
) -> None:
    asked = body | {"temperature": 0.5, "seed": 7, "n": 2}

    for path in (own, "/invocations"):
        client.post(path, json=asked)

    first, second, third, fourth = engine.messages
    assert (first.prompt, first.params) == (third.prompt, third.params)
    assert (second.prompt, second.params) == (fourth.prompt, fourth.params)


@pytest.mark.parametrize(("body", "own", "kind"), KINDS)
def test_a_stream_is_lines_of_the_same_objects(
    body: dict[str, Any], own: str, kind: Any, client: TestClient, scorer: FakeEngine
) -> None:
    asked = body | {"stream": True, "stream_options": {"include_usage": True}}

    found = client.post("/invocations", json=asked)
    expected = client.post(own, json=asked).text.split("\n\n")

    assert found.headers["content-type"].startswith("application/jsonlines")
    lines = [json.loads(line) for line in found.text.splitlines()]
    events = [json.loads(e.removeprefix("data: ")) for e in expected[:-2]]
    assert [plain(line) for line in lines] == [plain(event) for event in events]
    if kind is ChatCompletion:
        for line in lines:
            ChatCompletionChunk.model_validate(line, strict=True)


def test_who_accepts_events_gets_openais_events(client: TestClient) -> None:
    accept = {"accept": "text/event-stream"}

    found = client.post("/invocations", json=CHAT | {"stream": True}, headers=accept)

    assert found.headers["content-type"].startswith("text/event-stream")
    assert found.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(("body", "own", "kind"), KINDS)
@pytest.mark.parametrize(
    "form",
    [
        {"headers": {IDENTIFIER: "x"}},
        {"headers": {"X-Amzn-SageMaker-Inference-Component": "x"}},
        {"headers": {"X-Amzn-SageMaker-Target-Model": "x.tar.gz"}},
        {"params": {"adapter": "x"}},
        {"json": {"adapters": "x"}},
        {"json": {"adapters": ["x"]}},
        {"json": {"adapter": "x"}},
        {"json": {"model": "tiny:x"}},
    ],
    ids=str,
)
def test_an_adapter_is_chosen_in_every_way(
    *,
    form: dict[str, Any],
    body: dict[str, Any],
    own: str,
    kind: Any,
    client: TestClient,
    engine: FakeEngine,
) -> None:
    for streams in (False, True):
        asked = {**body, **form.get("json", {}), "stream": streams}
        answer = client.post("/invocations", **{**form, "json": asked})

        assert answer.status_code == 200, answer.text
        assert engine.messages[-1].adapter == "x"


def test_each_of_several_prompts_has_its_adapter(
    client: TestClient, engine: FakeEngine
) -> None:
    body = {"prompt": ["abc", "abc"], "adapters": ["x", ""]}

    found = client.post("/invocations", json=body).json()

    assert [message.adapter for message in engine.messages] == ["x", ""]
    assert found["model"] == "x, tiny"


def test_an_endpoint_for_one_adapter_answers_chats(
    client: TestClient, engine: FakeEngine
) -> None:
    found = client.post("/predictions/endpoint", json=CHAT)
    other = client.post("/predictions/endpoint", json=CHAT | {"adapter": "plain"})

    assert found.json()["model"] == engine.messages[-1].adapter == "said"
    assert other.status_code == 400


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({}, 424, "must contain prompt, inputs, or messages"),
        ({"text": "abc"}, 424, "must contain prompt, inputs, or messages"),
        ({"prompt": None, "messages": None}, 424, "must contain"),
        ({"messages": []}, 424, "messages"),
        ({"messages": [{"content": "abc"}]}, 424, "role"),
        ({"prompt": []}, 424, "prompt"),
        ({"prompt": ""}, 424, "prompt"),
        ({"prompt": "a", "adapters": ["x", "y"]}, 424, "2 adapters for 1 inputs"),
        ({"prompt": "a", "inputs": "a"}, 424, "inputs"),
        ({"inputs": "a", "messages": []}, 424, "messages"),
        ({"inputs": "a", "max_tokens": 3}, 400, "max_tokens"),
        ({"prompt": "a", "parameters": {}}, 400, "parameters"),
        ({"prompt": "a", "temperature": -1}, 400, "temperature"),
        ({"messages": CHAT["messages"], "adaptor": "x"}, 400, "adaptor"),
        ({"inputs": "a", "requestType": "NEW_SESSION"}, 400, "requestType"),
    ],
    ids=str,
)
def test_a_body_that_is_wrong_is_refused_by_name_in_djls_shape(
    body: dict[str, Any], code: int, named: str, client: TestClient, engine: FakeEngine
) -> None:
    answer = client.post("/invocations", json=body)

    assert answer.status_code == code, answer.text
    assert named in answer.json()["error"]
    assert answer.json()["code"] == code
    assert not engine.messages
