"""A prompt is encoded in the tokenizer of the adapter that will answer it."""

from collections.abc import Collection
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.errors import BadRequest
from tests.fake_server import BODIES, FakeEngine, FakeLibrary, message_of
from tests.fakes import FakeTokenizer


class Doubling(FakeTokenizer):
    """Two tokens for each character, and as many as it has it knows."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, text: str, *, is_whole: bool = False) -> list[int]:
        self.seen.append(text)
        return super().encode(text) * 2

    def check(self, ids: Collection[int], field: str) -> None:
        if 999 in ids:
            raise BadRequest(f"`{field}`: there is no token 999", field)


@pytest.mark.parametrize("path", BODIES)
def test_a_prompt_is_encoded_in_the_adapters_own_tokenizer(
    path: str, client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    engine.tokenizer = library.tokenizers["plain"] = Doubling()

    message = message_of(client, engine, path, "plain")

    assert message.tokenizer is engine.tokenizer
    assert len(message.prompt) == 6
    assert len(engine.messages) == 1


@pytest.mark.parametrize("path", BODIES)
def test_an_adapter_that_nobody_has_read_is_read_before_its_prompt_is_encoded(
    path: str, client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    library.tokenizers["plain"] = None
    engine.tokenizer = library.on_disk["plain"] = Doubling()

    message = message_of(client, engine, path, "plain")

    assert (message.tokenizer, len(message.prompt)) == (engine.tokenizer, 6)
    assert len(engine.messages) == 1


@pytest.mark.parametrize("path", BODIES)
def test_a_prompt_is_encoded_again_if_its_adapter_is_replaced_meanwhile(
    path: str, client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    new = Doubling()

    def replace() -> None:
        engine.tokenizer = library.tokenizers["plain"] = new

    engine.replace = replace

    message = message_of(client, engine, path, "plain")

    assert [len(each.prompt) for each in engine.messages] == [3, 6]
    assert message.tokenizer is new


def test_an_adapter_that_is_replaced_all_the_time_is_an_error_in_the_end(
    client: TestClient, engine: FakeEngine
) -> None:
    engine.tokenizer = Doubling()
    body = {"prompt": "abc", "adapter": "plain"}

    response = client.post("/v1/completions", json=body)

    assert response.status_code == 503
    assert "send it again" in response.json()["error"]["message"]
    assert 1 < len(engine.messages) < 20


def test_copies_of_a_prompt_are_encoded_once(
    client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    own = Doubling()
    engine.tokenizer = library.tokenizers["plain"] = own

    message_of(client, engine, "/v1/completions", "plain", n=5)

    assert (len(engine.messages), own.seen) == (5, ["abc"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"prompt": [1, 999]}, "prompt"), ({"stop_token_ids": [999]}, "stop_token_ids")],
)
def test_tokens_that_the_adapters_tokenizer_lacks_are_refused_by_field(
    fields: dict[str, Any],
    field: str,
    client: TestClient,
    engine: FakeEngine,
    library: FakeLibrary,
) -> None:
    engine.tokenizer = library.tokenizers["plain"] = Doubling()

    refused = client.post(
        "/v1/completions", json={"prompt": "a", "adapter": "plain", **fields}
    )

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
    assert not engine.messages
    engine.tokenizer = None
    message_of(client, engine, "/v1/completions", "", **fields)
