"""What an answer tells of its tokens: the same whole and streamed, each token once."""

from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from litestar.testing import TestClient
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.hotswap.api.scripted import (
    BYTES,
    USER,
    ScriptedEngine,
    ask,
    events,
    joined,
    scored,
    scripted_client,
    tokens_of,
)

TEXT = st.text("ab é☠😀", min_size=1, max_size=8)
TOP = st.none() | st.integers(0, 3)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, ScriptedEngine]]:
    engine = ScriptedEngine(tokenizer=BYTES)
    with scripted_client(engine) as client:
        yield client, engine


@settings(max_examples=30, deadline=None)
@given(
    prompt=TEXT,
    answers=st.lists(TEXT, min_size=1, max_size=3),
    top=TOP,
    echo=st.booleans(),
    ids=st.booleans(),
    stop=st.none() | st.sampled_from(["a", "b ", "☠"]),
    limit=st.sampled_from([0, 50]),
)
def test_a_completions_stream_is_the_whole_answer(
    served: tuple[TestClient, ScriptedEngine],
    *,
    prompt: str,
    answers: list[str],
    top: int | None,
    echo: bool,
    ids: bool,
    stop: str | None,
    limit: int,
) -> None:
    client, engine = served
    engine.answers = [tokens_of(answer) for answer in answers]
    body: dict[str, Any] = {
        "prompt": prompt,
        "n": len(answers),
        "logprobs": top,
        "echo": echo,
        "return_token_ids": ids,
        "stop": stop,
        "max_tokens": limit if echo else 50,
    }
    engine.messages.clear()
    whole = ask(client, "completions", **body)
    engine.messages.clear()
    *stream, last = events(
        client, "completions", **body, stream_options={"include_usage": True}
    )

    assert joined(stream) == whole["choices"]
    assert last["usage"] == whole["usage"]
    for choice in whole["choices"]:
        if top is not None:
            told = choice["logprobs"]
            assert len({len(each) for each in told.values()}) == 1
            _check_offsets(told, choice["text"], cut=stop is not None)
        if ids:
            assert choice["prompt_token_ids"] == tokens_of(prompt)


def _check_offsets(told: dict[str, Any], text: str, *, cut: bool) -> None:
    """A token that is text stands where it says; parts of a character where that is."""
    for token, offset in zip(told["tokens"], told["text_offset"], strict=True):
        if cut and offset + len(token) > len(text):
            continue
        if token.startswith("bytes:"):
            assert cut or text[offset] in "é☠😀"
        else:
            assert text[offset : offset + len(token)] == token


@settings(max_examples=20, deadline=None)
@given(answers=st.lists(TEXT, min_size=1, max_size=3), top=TOP, ids=st.booleans())
def test_a_chats_stream_is_the_whole_answer(
    served: tuple[TestClient, ScriptedEngine],
    answers: list[str],
    top: int | None,
    ids: bool,
) -> None:
    client, engine = served
    engine.answers = [tokens_of(answer) for answer in answers]
    body: dict[str, Any] = {
        "messages": USER,
        "n": len(answers),
        "logprobs": top is not None,
        "top_logprobs": top,
        "return_token_ids": ids,
    }
    engine.messages.clear()
    whole = ask(client, "chat/completions", **body)
    engine.messages.clear()
    stream = events(client, "chat/completions", **body)

    parts = [
        {name: value for name, value in choice.items() if name != "delta"}
        for choice in joined(stream)
    ]
    assert parts == [
        {name: value for name, value in choice.items() if name != "message"}
        for choice in whole["choices"]
    ]
    for answer, choice in zip(answers, whole["choices"], strict=True):
        if top is not None:
            content = choice["logprobs"]["content"]
            said = bytes(byte for entry in content for byte in entry["bytes"])
            assert said.decode() == answer
    prompts = [
        each["prompt_token_ids"] for each in stream if "prompt_token_ids" in each
    ]
    told = [whole["prompt_token_ids"]] * len(answers) if ids else []
    assert prompts == told


def test_the_answer_is_openais_with_a_score_for_each_token(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    client, engine = served
    engine.answers = [tokens_of("a☠")]
    a, *skull = tokens_of("a☠")

    answer = ask(client, "completions", prompt="x", logprobs=1, stop_token_ids=[7])
    chat = ask(client, "chat/completions", messages=USER, logprobs=True, top_logprobs=2)

    found = Completion.model_validate(answer)
    logprobs = found.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == ["a", "bytes:\\xe2", "bytes:\\x98", "bytes:\\xa0"]
    assert logprobs.text_offset == [0, 1, 1, 1]
    assert logprobs.token_logprobs == [scored(t).logprob for t in (a, *skull)]
    assert logprobs.top_logprobs is not None
    assert logprobs.top_logprobs[0] == {"a": scored(a).logprob, "b": -1 / 8}
    content = ChatCompletion.model_validate(chat).choices[0].logprobs
    assert content is not None
    assert content.content is not None
    assert [entry.token for entry in content.content][:2] == ["a", "\\xe2"]
    assert [(top.token, top.logprob) for top in content.content[0].top_logprobs] == [
        ("b", -1 / 8),
        ("c", -2 / 8),
    ]


def test_tokens_are_told_as_ids_where_a_request_asks_for_that(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    client, engine = served
    engine.answers = [tokens_of("a")]
    (a,) = tokens_of("a")
    as_ids = {"return_tokens_as_token_ids": True}

    answer = ask(client, "completions", prompt="x", logprobs=1, **as_ids)
    chat = ask(client, "chat/completions", messages=USER, logprobs=True, **as_ids)

    told = answer["choices"][0]["logprobs"]
    assert told["tokens"] == [f"token_id:{a}"]
    assert {*told["top_logprobs"][0]} == {f"token_id:{a}", f"token_id:{a + 1}"}
    (entry,) = chat["choices"][0]["logprobs"]["content"]
    assert (entry["token"], entry["bytes"]) == (f"token_id:{a}", [ord("a")])


def test_each_event_has_the_usage_of_its_choice_so_far_where_that_is_asked_for(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    client, engine = served
    engine.answers = [tokens_of("abc"), tokens_of("é")]
    engine.messages.clear()
    options = {"include_usage": True, "continuous_usage_stats": True}

    *stream, last = events(
        client, "chat/completions", messages=USER, n=2, stream_options=options
    )

    for event in [*stream, last]:
        ChatCompletionChunk.model_validate(event)
    used = [(e["choices"][0]["index"], e["usage"]["completion_tokens"]) for e in stream]
    assert [count for index, count in used if index == 0] == [1, 2, 3]
    assert [count for index, count in used if index == 1][-1] == 2
    assert last["usage"]["completion_tokens"] == 5


def test_the_stop_of_the_request_that_ended_an_answer_is_told(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    client, engine = served
    engine.answers = [tokens_of("ab#c")]

    for stop, reason in (["#"], "#"), (["!"], None):
        whole = ask(client, "completions", prompt="x", stop=stop)
        stream = joined(events(client, "completions", prompt="x", stop=stop))
        assert whole["choices"][0]["stop_reason"] == reason
        assert stream == whole["choices"]
