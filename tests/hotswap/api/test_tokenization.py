"""/tokenize, /detokenize and /tokenizer_info around a fake engine."""

from dataclasses import dataclass
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.adapters.adapter_info import AdapterState
from hotswap.tokenizer import Tokenizer
from tests import tiny
from tests.fake_server import FakeEngine, FakeLibrary
from tests.fakes import LoudTokenizer


@dataclass
class Row:
    state: AdapterState
    reason: str | None = None


ROWS = {
    "said": Row(AdapterState.READY),
    "broken": Row(AdapterState.FAILED, "it is broken"),
}


@pytest.fixture(autouse=True)
def known(client: TestClient, engine: FakeEngine) -> None:
    engine.status.adapter = ROWS.get  # type: ignore[method-assign, assignment]


def ask(client: TestClient, path: str, code: int = 200, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == code, answer.text
    return answer.json()


def test_a_text_is_counted_in_vllms_shape(client: TestClient) -> None:
    assert ask(client, "/tokenize", prompt="abc") == {
        "count": 3,
        "max_model_len": 100,
        "tokens": [1, 1, 1],
        "token_strs": None,
    }


def test_a_text_may_be_empty_or_longer_than_the_context(client: TestClient) -> None:
    assert ask(client, "/tokenize", prompt="")["count"] == 0
    assert ask(client, "/tokenize", prompt="a" * 5000)["count"] == 5000


def test_a_conversation_is_counted_as_it_is_rendered(client: TestClient) -> None:
    messages = [{"role": "user", "content": "abcd"}]

    assert ask(client, "/tokenize", messages=messages)["count"] == 4


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, 400, "prompt"),
        ({"prompt": "a", "inputs": "a"}, 400, "prompt"),
        ({"prompt": "a", "unknown": 1}, 400, "unknown"),
        ({"prompt": "a", "model": "nobody"}, 404, "model"),
        ({"prompt": "a", "adapter": "broken"}, 404, "adapter"),
        ({"prompt": "a", "adapters": ["a", "b"]}, 400, "adapters"),
        ({"messages": [], "model": "tiny"}, 400, "messages"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(
    body: dict[str, Any], code: int, field: str, client: TestClient
) -> None:
    assert ask(client, "/tokenize", code, **body)["error"]["param"] == field


def test_an_adapters_own_tokenizer_counts(
    client: TestClient, library: FakeLibrary, encoded: list[tuple[int, bool]]
) -> None:
    library.tokenizers["said"] = LoudTokenizer()

    ask(client, "/tokenize", prompt="abc", adapter="other")

    assert encoded == [(3, True)]  # beside the event loop


def test_the_adapter_that_is_named_as_the_model_writes_tokens(
    client: TestClient, library: FakeLibrary
) -> None:
    own = library.tokenizers["said"] = Tokenizer(tiny.tokenizer())
    tokens = own.encode("Ahoy")

    found = ask(client, "/detokenize", tokens=tokens, model="said")
    wrong = ask(client, "/detokenize", 404, tokens=tokens, model="nobody")

    assert found == {"prompt": "Ahoy"}
    assert wrong["error"]["param"] == "model"
