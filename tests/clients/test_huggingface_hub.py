"""huggingface_hub's InferenceClient: chat_completion, text_generation, async."""

import asyncio
import json
from typing import Any

import huggingface_hub
import pytest

from tests.clients.asking import HELLO, Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood

GREEDY: dict[str, Any] = {"model": "pirate", "max_tokens": 8, "temperature": 0}
SCHEMA = {"name": "Mood", "schema": Mood.model_json_schema()}


@pytest.fixture
def client(server: Server) -> Any:
    return huggingface_hub.InferenceClient(base_url=server.v1, api_key="none")


@pytest.fixture
def generating(server: Server) -> Any:
    """Its text_generation posts to the address itself, as TGI takes it."""
    return huggingface_hub.InferenceClient(model=server.url, api_key="none")


def test_the_page(snippet: Snippet, server: Server) -> None:
    told = snippet("huggingface_hub").split("\n---\n")
    assert told == [server.chat("pirate"), server.completion("pirate")]


def test_a_chat_and_its_stream(client: Any, server: Server) -> None:
    answer = client.chat_completion(HELLO, **GREEDY)
    chunks = list(client.chat_completion(HELLO, stream=True, **GREEDY))

    assert answer.model == chunks[0].model == "pirate"
    assert answer.choices[0].message.content == server.chat("pirate")
    told = (c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "".join(told) == server.chat("pirate")


def test_the_asynchronous_client(server: Server) -> None:
    async def ask() -> Any:
        client = huggingface_hub.AsyncInferenceClient(
            base_url=server.v1, api_key="none"
        )
        return await client.chat_completion(HELLO, **GREEDY)

    assert asyncio.run(ask()).choices[0].message.content == server.chat("pirate")


def test_a_chat_held_to_a_schema(client: Any) -> None:
    answer = client.chat_completion(
        HELLO,
        response_format={"type": "json_schema", "json_schema": SCHEMA},
        **GREEDY | {"max_tokens": 400},
    )
    Mood.model_validate_json(answer.choices[0].message.content)


def test_a_chat_that_has_to_call(client: Any) -> None:
    tool = {"name": "mood", "parameters": Mood.model_json_schema()}
    answer = client.chat_completion(
        HELLO,
        tools=[{"type": "function", "function": tool}],
        tool_choice="required",
        **GREEDY | {"max_tokens": 400},
    )
    [call] = answer.choices[0].message.tool_calls[:1]
    assert call.function.name == "mood"
    Mood.model_validate(json.loads(call.function.arguments))


def test_text_generation_and_its_stream(generating: Any, server: Server) -> None:
    asked = {"adapter_id": "pirate", "max_new_tokens": 8}
    text = generating.text_generation("Hello", **asked)
    pieces = list(generating.text_generation("Hello", stream=True, **asked))
    full = generating.text_generation("Hello", details=True, **asked)

    assert text == "".join(pieces) == server.completion("pirate")
    assert full.generated_text == text
    assert len(full.details.tokens) == full.details.generated_tokens == 8


def test_text_generation_held_to_a_schema(generating: Any) -> None:
    text = generating.text_generation(
        "Hello",
        adapter_id="pirate",
        max_new_tokens=400,
        grammar={"type": "json", "value": Mood.model_json_schema()},
    )
    Mood.model_validate_json(text)
