"""What is too much is refused before any work is done for it."""

from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.tokenizer import Tokenizer
from tests.fake_server import BODIES, FakeEngine, FakeLibrary
from tests.fakes import FakeTokenizer


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No prompt may be encoded."""

    def encode(self: Tokenizer, text: str, *, is_whole: bool = False) -> list[int]:
        raise AssertionError("it was encoded")

    monkeypatch.setattr(FakeTokenizer, "encode", encode)


MANY: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"prompt": ["a"] * 11}, "prompt"),
    ("/v1/completions", {"prompt": [[5]] * 4, "n": 3}, "prompt"),
    ("/v1/completions", {"prompt": "a", "n": 11}, "prompt"),
    ("/v1/completions", {"prompt": [[5]] * 5000, "n": 64}, "prompt"),
    ("/v1/chat/completions", {**BODIES["/v1/chat/completions"], "n": 11}, "n"),
    ("/invocations", {"inputs": ["a"] * 11}, "inputs"),
    ("/predictions/endpoint", {"inputs": ["a"] * 5000}, "inputs"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("path", "body", "field"), MANY)
def test_more_jobs_than_may_ever_wait_are_refused_by_field_before_any_is_made(
    path: str,
    body: dict[str, Any],
    field: str,
    client: TestClient,
    engine: FakeEngine,
) -> None:
    response = client.post(path, json=body)

    assert response.status_code == (400 if "/v1/" in path else 424), response.text
    assert f"`{field}` asks for" in response.text
    assert "at most 10 (`limits.jobs_per_request`)" in response.text
    assert not engine.messages


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("path", BODIES)
def test_a_full_queue_refuses_before_a_prompt_is_encoded(
    path: str, client: TestClient, engine: FakeEngine
) -> None:
    engine.status.waiting = 10

    response = client.post(path, json=BODIES[path])

    assert response.status_code == (503 if path == "/invocations" else 429)
    assert not engine.messages


def test_jobs_of_one_request_need_room_for_all_of_them(
    client: TestClient, engine: FakeEngine
) -> None:
    engine.status.waiting = 7

    full = client.post("/v1/completions", json={"prompt": ["a", "b"], "n": 2})
    fits = client.post("/v1/completions", json={"prompt": ["a", "b", "c"]})

    assert (full.status_code, fits.status_code) == (429, 200)
    assert len(engine.messages) == 3


LONG: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"prompt": "a" * 801}, "801 characters"),
    ("/v1/completions", {"prompt": ["a", "a" * 801]}, "801 characters"),
    ("/v1/completions", {"prompt": [5] * 101}, "101 tokens"),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "a" * 801}]},
        "801 characters",
    ),
    ("/invocations", {"inputs": "a" * 801}, "801 characters"),
]


@pytest.mark.parametrize("adapter", ["", "said", "own"])
@pytest.mark.parametrize(("path", "body", "said"), LONG)
def test_what_no_tokens_can_hold_is_refused_before_it_is_encoded(
    *,
    path: str,
    body: dict[str, Any],
    said: str,
    adapter: str,
    client: TestClient,
    engine: FakeEngine,
    library: FakeLibrary,
    encoded: list[tuple[int, bool]],
) -> None:
    library.tokenizers["own"] = FakeTokenizer()

    response = client.post(path, json={**body, "adapter": adapter})

    assert response.status_code == 400, response.text
    assert said in response.text
    assert not [size for size, _ in encoded if size > 800]
    assert not engine.messages


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": [[]] * 70_000}),
        ("/invocations", {"inputs": "a", "adapters": ["x"] * 1_000_000}),
        ("/v1/adapters/validate", {"src": ["x"] * 70_000}),
        ("/v1/completions", {"prompt": "a", "metadata": {"a": [0] * 70_000}}),
    ],
)
def test_a_body_of_very_many_values_is_refused_unread(
    path: str, body: dict[str, Any], client: TestClient
) -> None:
    response = client.post(path, json=body)

    assert response.status_code == (400 if "/v1/" in path else 424)
    assert "values" in response.text


def test_token_ids_to_stop_at_are_bounded(client: TestClient) -> None:
    body = {"prompt": "a", "stop_token_ids": [5] * 1001}

    response = client.post("/v1/completions", json=body)

    assert (response.status_code, response.json()["error"]["param"]) == (
        400,
        "stop_token_ids",
    )
