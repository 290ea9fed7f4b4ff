"""TGI's client, text-generation: it has no adapter_id; a header names the adapter."""

import asyncio
from typing import Any

import pytest
import text_generation

from tests.clients.asking import Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood

HEADER = {"X-Amzn-SageMaker-Adapter-Identifier": "pirate"}


@pytest.fixture
def client(server: Server) -> Any:
    return text_generation.Client(server.url, headers=HEADER)


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("text-generation") == server.completion("pirate")


def test_generate_tells_its_tokens(client: Any, server: Server) -> None:
    answer = client.generate("Hello", max_new_tokens=8, decoder_input_details=True)
    assert answer.generated_text == server.completion("pirate")
    assert len(answer.details.tokens) == 8
    assert len(answer.details.prefill) == len("Hello")
    assert answer.details.prefill[0].logprob is None


def test_a_stream(client: Any, server: Server) -> None:
    pieces = list(client.generate_stream("Hello", max_new_tokens=8))
    assert pieces[-1].generated_text == server.completion("pirate")


def test_the_asynchronous_client(server: Server) -> None:
    client = text_generation.AsyncClient(server.url, headers=HEADER)
    answer = asyncio.run(client.generate("Hello", max_new_tokens=8))
    assert answer.generated_text == server.completion("pirate")


def test_an_answer_held_to_a_schema(client: Any) -> None:
    grammar: Any = {"type": "json", "value": Mood.model_json_schema()}
    answer = client.generate("Hello", max_new_tokens=400, grammar=grammar)
    Mood.model_validate_json(answer.generated_text)


def test_its_chat(client: Any, server: Server) -> None:
    message = text_generation.types.Message(role="user", content="Hello")
    answer = client.chat([message], max_tokens=8, temperature=0)
    assert answer.choices[0].message.content == server.chat("pirate")
