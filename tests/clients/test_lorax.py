"""lorax-client: generate, its stream, async, a schema."""

import asyncio
from typing import Any

import lorax
import pytest

from tests.clients.asking import Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood

ASKED: dict[str, Any] = {"adapter_id": "pirate", "max_new_tokens": 8}


@pytest.fixture
def client(server: Server) -> Any:
    return lorax.Client(server.url)


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("lorax-client") == server.completion("pirate")


def test_generate_tells_its_tokens(client: Any, server: Server) -> None:
    answer = client.generate("Hello", **ASKED)
    assert answer.generated_text == server.completion("pirate")
    assert answer.details.generated_tokens == len(answer.details.tokens) == 8
    assert answer.details.finish_reason.value == "length"


def test_a_stream_and_the_asynchronous_client(client: Any, server: Server) -> None:
    pieces = list(client.generate_stream("Hello", **ASKED))
    answer = asyncio.run(lorax.AsyncClient(server.url).generate("Hello", **ASKED))

    assert pieces[-1].generated_text == server.completion("pirate")
    assert "".join(one.token.text for one in pieces) == pieces[-1].generated_text
    assert answer.generated_text == pieces[-1].generated_text


def test_an_answer_held_to_a_schema(client: Any) -> None:
    answer = client.generate(
        "Hello",
        response_format={"type": "json_object", "schema": Mood.model_json_schema()},
        **ASKED | {"max_new_tokens": 400},
    )
    Mood.model_validate_json(answer.generated_text)


def test_sampling_is_seeded_and_an_unknown_adapter_is_an_error(client: Any) -> None:
    asked = ASKED | {"do_sample": True, "temperature": 1.0, "seed": 3, "top_k": 40}
    answers = {client.generate("Hello", **asked).generated_text for _ in range(2)}
    assert len(answers) == 1
    with pytest.raises(Exception, match="nope"):
        client.generate("Hello", adapter_id="nope")
