"""Which prompts the event loop encodes itself, and which are encoded beside it."""

from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.api.shared import encoder_pool
from tests.fake_server import BODIES, FakeEngine, FakeLibrary
from tests.fakes import FakeTokenizer


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("adapter", "size", "is_beside"),
    [("", 10, False), ("", 5_000, True), ("", 70_000, True), ("own", 10, True)],
)
def test_what_is_long_or_a_strangers_is_encoded_beside_the_event_loop(
    *,
    path: str,
    adapter: str,
    size: int,
    is_beside: bool,
    client: TestClient,
    engine: FakeEngine,
    library: FakeLibrary,
    encoded: list[tuple[int, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeTokenizer, "longest", 1 << 20)
    if adapter:
        engine.tokenizer = library.tokenizers[adapter] = FakeTokenizer()
    fields: dict[str, dict[str, Any]] = {
        "/v1/completions": {"prompt": "a" * size},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "a" * size}]},
        "/v1/responses": {"input": "a" * size},
        "/invocations": {"inputs": "a" * size},
    }

    response = client.post(path, json={**fields[path], "adapter": adapter})

    assert response.status_code == 200, response.text
    assert encoded == [(size, is_beside)]


def test_many_short_prompts_are_as_long_as_they_are_together(
    client: TestClient, encoded: list[tuple[int, bool]]
) -> None:
    client.post("/v1/completions", json={"prompt": ["a" * 700] * 8})

    assert [beside for _, beside in encoded] == [False] * 5 + [True] * 3


def test_copies_of_a_long_prompt_are_one_to_encode(
    client: TestClient,
    engine: FakeEngine,
    encoded: list[tuple[int, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeTokenizer, "longest", 1 << 20)
    size = encoder_pool.MOST_SIZE // 8

    response = client.post("/v1/completions", json={"prompt": "a" * size, "n": 10})

    assert response.status_code == 200, response.text
    assert encoded == [(size, True)]
    assert len(engine.messages) == 10
