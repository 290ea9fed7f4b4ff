"""Log-probabilities of a response are a chat's, whole and streamed."""

from typing import Any

import pytest

from tests.hotswap.api.responses.asking import events, joined, respond
from tests.hotswap.api.scripted import (
    USER,
    ScriptedEngine,
    ask,
    scripted_client,
    tokens_of,
)

TOLD: dict[str, Any] = {"adapter": "own", "include": ["message.output_text.logprobs"]}


@pytest.mark.parametrize("top", [None, 0, 3])
def test_every_token_is_told_as_in_a_chat(top: int | None) -> None:
    engine = ScriptedEngine(answers=[tokens_of("Ahoy ☃ é")])  # some are half a letter
    with scripted_client(engine) as client:
        likeliest = {} if top is None else {"top_logprobs": top}
        whole = respond(client, input="Ahoy", **TOLD, **likeliest)
        stream = events(client, input="Ahoy", **TOLD, **likeliest)
        body = {"messages": USER, "logprobs": True, "top_logprobs": top}
        chat = ask(client, "chat/completions", **body)

    (message,) = whole["output"]
    expected = chat["choices"][0]["logprobs"]["content"]
    assert message["content"][0]["logprobs"] == expected
    assert len(expected) == len(tokens_of("Ahoy ☃ é"))
    assert len(expected[0]["top_logprobs"]) == (top or 0)
    (told,) = joined(stream)
    assert told["content"][0]["logprobs"] == expected


def test_who_does_not_ask_is_told_none() -> None:
    engine = ScriptedEngine(answers=[tokens_of("Ahoy")])
    with scripted_client(engine) as client:
        (message,) = respond(client, input="Ahoy", adapter="own")["output"]
        assert engine.messages[-1].params.logprobs is None

    assert message["content"][0]["logprobs"] == []


def test_a_token_behind_the_text_is_told_at_the_end() -> None:
    engine = ScriptedEngine(answers=[tokens_of("Ahoy")])
    with scripted_client(engine) as client:
        stream = events(client, input="Ahoy", stop="y", **TOLD)

    (told,) = joined(stream)
    assert told["content"][0]["text"] == "Aho"
    assert len(told["content"][0]["logprobs"]) == len(tokens_of("Ahoy"))
    assert told["content"] == stream[-1]["response"]["output"][0]["content"]
