"""What a body says of its prompt: how much of it stays, and who begins it."""

from typing import Any

import pytest
from litestar.testing import TestClient
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from hotswap.tokenizer import Tokenizer
from tests import tiny
from tests.fake_server import BODIES, LIMIT, FakeEngine, FakeLibrary
from tests.hotswap.api.scripted import (
    BYTES,
    ScriptedEngine,
    ask,
    events,
    joined,
    scripted_client,
    tokens_of,
)

BOTH = ["/v1/completions", "/v1/chat/completions"]
BOS = 256


def beginning() -> Tokenizer:
    """It writes `<bos>` before a text, as Llama's do."""
    fast: PreTrainedTokenizerFast = tiny.tokenizer()
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", BOS)]
    )
    return Tokenizer(fast)


@pytest.fixture
def own(library: FakeLibrary, engine: FakeEngine) -> FakeEngine:
    library.tokenizers["own"] = engine.tokenizer = beginning()
    return engine


def prompt_of(
    client: TestClient, engine: FakeEngine, path: str, **said: Any
) -> tuple[int, ...]:
    answer = client.post(path, json={**BODIES[path], "adapter": "own", **said})
    assert answer.status_code == 200, answer.text
    return engine.messages[-1].prompt


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize("said", [None, True, False])
def test_the_start_token_is_added_to_a_text_and_to_no_conversation_unless_told(
    path: str, said: bool | None, client: TestClient, own: FakeEngine
) -> None:
    prompt = prompt_of(client, own, path, add_special_tokens=said)

    usual = path == "/v1/completions"
    assert prompt.count(BOS) == (usual if said is None else said)


def test_a_truncated_prompt_keeps_its_end_or_its_beginning(
    client: TestClient, own: FakeEngine
) -> None:
    path, whole = "/v1/completions", (BOS, *tokens_of("abcdef"))

    def kept(prompt: str | list[int], **said: Any) -> tuple[int, ...]:
        return prompt_of(client, own, path, prompt=prompt, **said)

    assert kept("abcdef", truncate_prompt_tokens=3) == whole[-3:]
    right = {"truncate_prompt_tokens": 3, "truncation_side": "right"}
    assert kept("abcdef", **right) == whole[:3]
    assert kept([1, 2, 3, 4], truncate_prompt_tokens=2) == (3, 4)
    assert kept("abcdef", truncate_prompt_tokens=100) == whole
    assert kept("abcdef") == whole


@pytest.mark.parametrize("path", BOTH)
def test_minus_one_keeps_as_much_as_fits_beside_the_answer(
    path: str, client: TestClient, own: FakeEngine
) -> None:
    long = "x" * 5000  # more than any tokens of this model hold
    said = {"prompt": long} if path == "/v1/completions" else {}
    if not said:
        said = {"messages": [{"role": "user", "content": long}]}  # type: ignore[dict-item]

    refused = client.post(path, json={**said, "adapter": "own"})
    prompt = prompt_of(
        client, own, path, **said, truncate_prompt_tokens=-1, max_tokens=30
    )
    silent = prompt_of(client, own, path, **said, truncate_prompt_tokens=-1)

    assert refused.status_code == 400
    assert len(prompt) == LIMIT - 30
    assert len(silent) == LIMIT - (16 if path == "/v1/completions" else 1)


def echoed(prompt: object, tokenizer: Tokenizer, **said: Any) -> dict[str, Any]:
    """The choice that says `!` after a prompt it gives back, whole as streamed."""
    engine = ScriptedEngine(tokenizer=tokenizer, answers=[tokens_of("!")])
    body = {"prompt": prompt, "echo": True, "logprobs": 0, "max_tokens": 1, **said}
    library = FakeLibrary(tokenizers={"own": tokenizer})
    with scripted_client(engine, library) as client:
        (choice,) = ask(client, "completions", **body)["choices"]
        assert joined(events(client, "completions", **body)) == [choice]
    found: dict[str, Any] = choice
    return found


@pytest.mark.parametrize(
    ("prompt", "text", "offsets"),
    [
        ("ab", "ab!", [0, 0, 1, 2]),  # what the tokenizer added is not echoed
        ("<x>b", "<x>b!", [0, 0, 3, 4]),
        ("<bos>b", "<bos>b!", [0, 5, 5, 6]),
        ([64, 65], "ab!", [0, 1, 2]),
        ([BOS, 64], "<bos>a!", [0, 5, 6]),
    ],
    ids=str,
)
def test_an_echoed_prompt_is_as_it_came_and_its_tokens_stand_where_they_say(
    prompt: object, text: str, offsets: list[int]
) -> None:
    choice = echoed(prompt, beginning())

    assert choice["text"] == text
    assert choice["logprobs"]["text_offset"] == offsets
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert choice["logprobs"]["top_logprobs"][0] is None


def test_a_truncated_prompt_is_echoed_as_far_as_it_was_kept() -> None:
    choice = echoed("abcdef", beginning(), truncate_prompt_tokens=2)

    assert choice["text"] == "ef!"
    assert choice["logprobs"]["text_offset"] == [0, 1, 2]


def test_an_echo_without_log_probabilities_scores_nothing() -> None:
    engine = ScriptedEngine(tokenizer=BYTES, answers=[tokens_of("!")])
    with scripted_client(engine) as client:
        answer = ask(client, "completions", prompt="ab", echo=True, max_tokens=0)

    assert (answer["choices"][0]["text"], answer["usage"]["total_tokens"]) == ("ab", 2)
    assert engine.messages[0].params.prompt_logprobs is None
