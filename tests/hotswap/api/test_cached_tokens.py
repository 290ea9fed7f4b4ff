"""What was found of a prompt is told as OpenAI tells it; a salt is said as in vLLM."""

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.fake_server import BODIES
from tests.hotswap.api.scripted import (
    BYTES,
    USER,
    ScriptedEngine,
    ask,
    events,
    scripted_client,
    tokens_of,
)

SALTED = ["/v1/completions", "/v1/chat/completions", "/v1/responses"]


@pytest.fixture
def served() -> Iterator[tuple[TestClient, ScriptedEngine]]:
    engine = ScriptedEngine(tokenizer=BYTES, answers=[tokens_of("Ahoy")])
    with scripted_client(engine) as client:
        yield client, engine


def test_each_route_tells_it_in_its_usage(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    client, engine = served
    engine.cached = [3]
    completion = Completion.model_validate(ask(client, "completions", prompt="Hello"))
    chat = ChatCompletion.model_validate(ask(client, "chat/completions", messages=USER))
    response = Response.model_validate(ask(client, "responses", input="Hello"))

    for answer in (completion, chat):
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        assert answer.usage.prompt_tokens_details.cached_tokens == 3
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 3


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_a_stream_tells_it_at_its_end_and_with_each_event_if_asked(
    served: tuple[TestClient, ScriptedEngine], path: str
) -> None:
    client, engine = served
    engine.cached = [3]
    asked = {"prompt": "Hello"} if path == "completions" else {"messages": USER}
    options = {"include_usage": True, "continuous_usage_stats": True}

    stream = events(client, path, **asked, stream_options=options)

    told = [event["usage"]["prompt_tokens_details"] for event in stream]
    assert told == [{"cached_tokens": 3}] * len(stream)
    assert len(stream) > 2


def test_a_stream_of_a_response_tells_it_with_the_last_event(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    client, engine = served
    engine.cached = [3]
    body = {"adapter": "own", "input": "Hello", "stream": True}

    text = client.post("/v1/responses", json=body).text

    assert text.count('"input_tokens_details":{"cached_tokens":3,') == 1


def test_of_copies_what_was_there_before_all_and_of_prompts_the_sum(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    """A copy that came later has found what the first one computed."""
    client, engine = served
    engine.cached = [2, 4, 3, 1]
    used = ask(client, "completions", prompt=["Hello", "Hello"], n=2)["usage"]

    assert used["prompt_tokens"] == 10
    assert used["prompt_tokens_details"] == {"cached_tokens": 2 + 1}


@pytest.mark.parametrize("path", SALTED)
@pytest.mark.parametrize(
    ("salt", "is_fine"),
    [
        *[("s", True), ("s" * 256, True), (None, True)],
        *[("", False), ("s" * 257, False), (7, False), (["s"], False)],
    ],
)
def test_a_salt_is_some_text_of_a_bounded_length(
    served: tuple[TestClient, ScriptedEngine], path: str, salt: Any, is_fine: bool
) -> None:
    client, engine = served
    body = {**BODIES[path], "adapter": "own", "cache_salt": salt}
    answer = client.post(path, json=body)

    if is_fine:
        assert answer.status_code == 200, answer.text
        assert engine.messages[-1].params.cache_salt == salt
    else:
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "cache_salt"
