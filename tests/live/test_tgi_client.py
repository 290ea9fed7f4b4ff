"""Hugging Face's InferenceClient against the live server, as it works against TGI."""

from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import GenerationError, ValidationError

from tests.servers import Live

pytestmark = pytest.mark.slow


@pytest.fixture
def client(live: Live) -> InferenceClient:
    return InferenceClient(model=live.url)


def test_plain_details_and_stream_say_the_same(client: InferenceClient) -> None:
    asked: dict[str, Any] = {"adapter_id": "a1", "max_new_tokens": 6}
    plain = client.text_generation("hello", **asked)
    whole = client.text_generation("hello", details=True, top_n_tokens=2, **asked)
    texts = list(client.text_generation("hello", stream=True, **asked))
    stream = list(client.text_generation("hello", stream=True, details=True, **asked))

    assert plain
    assert whole.generated_text == plain == "".join(texts)
    assert whole.details.generated_tokens == len(whole.details.tokens) == 6
    assert whole.details.finish_reason == "length"
    assert [each.token.id for each in stream] == [t.id for t in whole.details.tokens]
    assert stream[-1].generated_text == plain
    assert stream[-1].details.generated_tokens == 6
    for token, top in zip(whole.details.tokens, whole.details.top_tokens, strict=True):
        assert token.id == top[0]["id"]  # greedy


def test_the_adapter_answers_that_is_named(client: InferenceClient) -> None:
    said = {
        name: client.text_generation("hello", adapter_id=name, max_new_tokens=6)
        for name in (None, "a1", "a2")
    }

    assert len({*said.values()}) == 3


def test_errors_are_the_clients_own(client: InferenceClient) -> None:
    with pytest.raises(GenerationError, match="`nobody` is not registered"):
        client.text_generation("hello", adapter_id="nobody")
    with pytest.raises(ValidationError, match="top_p"):
        client.text_generation("hello", top_p=7.0)


def test_what_is_tokenized_can_be_detokenized(live: Live) -> None:
    """As lm-evaluation-harness' remote tokenizer asks."""
    text = "hello you"
    with live.client() as http:
        body = {"prompt": text, "add_special_tokens": False}
        found = http.post("/tokenize", json={**body, "return_token_strs": True}).json()
        places = http.post("/tokenize", json={"inputs": text}).json()
        back = http.post("/detokenize", json={"tokens": found["tokens"]}).json()
        facts = http.get("/tokenizer_info").json()
        end = {"prompt": facts["eos_token"], "add_special_tokens": False}
        (eos,) = http.post("/tokenize", json=end).json()["tokens"]
        marked = http.post("/detokenize", json={"tokens": [eos]}).json()
        none = http.post("/detokenize", json={"tokens": [1 << 20]})

    assert back == {"prompt": text}
    assert found["count"] == len(found["token_strs"]) == len(places)
    assert "".join(each["text"] for each in places) == text
    assert marked == {"prompt": facts["eos_token"]}
    assert {"bos_token", "pad_token", "chat_template"} <= {*facts}
    assert (none.status_code, none.json()["error"]["param"]) == (400, "tokens")
