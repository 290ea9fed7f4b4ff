"""OpenAI's own client calls tools: whole, streamed, by its helpers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from tests.hotswap.api.chat.speaking import (
    HERMES,
    TOOLS,
    USER,
    Speaking,
    calls_of,
    create,
    speaking,
)

ROME = '{"city": "Rome"}'
CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {ROME}}}\n</tool_call>'
TIME = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
NAMED: dict[str, Any] = {"type": "function", "function": {"name": "get_weather"}}


@pytest.fixture(scope="module")
def hermes() -> Iterator[Speaking]:
    with speaking(HERMES) as server:
        yield server


def test_a_call_comes_as_openais_without_a_content(hermes: Speaking) -> None:
    hermes.says(CALL)

    (choice,) = create(hermes).choices

    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert calls_of(choice.message) == [("get_weather", ROME)]
    assert choice.message.tool_calls[0].id.startswith("call_")


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_the_clients_stream_makes_of_the_pieces_what_the_whole_answer_is(
    size: int, hermes: Speaking
) -> None:
    hermes.says(f"I look it up.\n{CALL}\n{TIME}", size=size)
    whole = create(hermes).choices[0]

    body: dict[str, Any] = {"model": "tiny", "messages": [USER], "tools": TOOLS}
    with hermes.client.chat.completions.stream(**body) as stream:
        events = list(stream)
        (choice,) = stream.get_final_completion().choices

    assert choice.finish_reason == whole.finish_reason == "tool_calls"
    assert choice.message.content == whole.message.content == "I look it up."
    calls = [("get_weather", ROME), ("get_time", "{}")]
    told = choice.message.tool_calls or []
    assert [(each.function.name, each.function.arguments) for each in told] == calls
    assert calls_of(whole.message) == calls
    done = [e for e in events if e.type == "tool_calls.function.arguments.done"]
    assert [(each.name, each.arguments) for each in done] == calls


def test_a_streams_first_event_of_a_call_names_it_and_the_next_have_arguments(
    hermes: Speaking,
) -> None:
    hermes.says(f"Hm {CALL}{TIME}", size=2)

    deltas = [chunk.choices[0].delta for chunk in create(hermes, stream=True)]

    assert deltas[0].role == "assistant"
    assert all(delta.role is None for delta in deltas[1:])
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    named = [call for call in calls if call.id]
    assert [(call.index, call.type, call.function.name) for call in named] == [
        (0, "function", "get_weather"),
        (1, "function", "get_time"),
    ]
    rest = [call for call in calls if not call.id]
    assert all(call.type is None and call.function.name is None for call in rest)
    assert "".join(c.function.arguments for c in calls if c.index == 0) == ROME
    assert len([call for call in rest if call.index == 0]) > 3


def test_an_answer_without_a_call_is_an_answer(hermes: Speaking) -> None:
    hermes.says("It <is> {sunny}.\n")

    (choice,) = create(hermes).choices

    assert (choice.finish_reason, choice.message.content) == (
        "stop",
        "It <is> {sunny}.\n",
    )
    assert choice.message.tool_calls is None


def test_a_call_that_is_cut_off_is_told_with_the_reason(hermes: Speaking) -> None:
    hermes.says(CALL[:-20], finish="length")

    (choice,) = create(hermes).choices

    assert choice.finish_reason == "length"
    ((name, arguments),) = calls_of(choice.message)
    assert name == "get_weather"
    assert ROME.startswith(arguments)


def test_without_parallel_calls_only_the_first_is_told(hermes: Speaking) -> None:
    hermes.says(CALL + TIME)

    whole = create(hermes, parallel_tool_calls=False).choices[0].message
    stream = create(hermes, parallel_tool_calls=False, stream=True)
    indexes = [c.index for e in stream for c in e.choices[0].delta.tool_calls or []]

    assert calls_of(whole) == [("get_weather", ROME)]
    assert {*indexes} == {0}


def test_a_choice_of_none_shows_the_tools_and_reads_no_calls(hermes: Speaking) -> None:
    hermes.says(CALL)

    (choice,) = create(hermes, tool_choice="none").choices

    assert (choice.finish_reason, choice.message.content) == ("stop", CALL)
    assert "get_weather" in hermes.engine.prompt


def test_a_forced_call_that_was_cut_off_is_no_content(hermes: Speaking) -> None:
    whole = '{"name": "get_weather", "parameters": {"city": "Rome"}}'
    hermes.says(f'[{whole}, {{"nam', finish="length")

    (choice,) = create(hermes, tool_choice="required").choices

    assert choice.message.content is None
    assert len(choice.message.tool_calls or ()) == 1


def test_required_calls_are_an_array_whatever_the_models_own_form(
    hermes: Speaking,
) -> None:
    calls = [{"name": "get_weather", "parameters": json.loads(ROME)}]
    hermes.says(json.dumps([*calls, {"name": "get_time", "parameters": {}}]))

    (choice,) = create(hermes, tool_choice="required").choices

    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert calls_of(choice.message) == [("get_weather", ROME), ("get_time", "{}")]


def test_a_named_function_gets_its_arguments_and_the_answer_stops(
    hermes: Speaking,
) -> None:
    hermes.says(ROME)

    (choice,) = create(hermes, tool_choice=NAMED).choices
    chunks = list(create(hermes, tool_choice=NAMED, stream=True))

    assert choice.finish_reason == chunks[-1].choices[0].finish_reason == "stop"
    assert calls_of(choice.message) == [("get_weather", ROME)]
    told = [c for e in chunks for c in e.choices[0].delta.tool_calls or []]
    assert "".join(c.function.arguments for c in told) == ROME


def test_n_answers_call_each_for_itself(hermes: Speaking) -> None:
    hermes.says(CALL, size=5)

    whole = create(hermes, n=2).choices
    chunks = list(create(hermes, n=2, stream=True))

    ids = {choice.message.tool_calls[0].id for choice in whole}
    assert len(ids) == 2
    for index in range(2):
        told = [
            call.function.arguments
            for chunk in chunks
            for choice in chunk.choices
            if choice.index == index
            for call in choice.delta.tool_calls or []
        ]
        assert "".join(told) == ROME


class Weather(BaseModel):
    city: str


def test_the_clients_parse_helper_gives_the_arguments_as_its_model(
    hermes: Speaking,
) -> None:
    hermes.says(CALL)

    answer = hermes.client.chat.completions.parse(
        model="tiny",
        messages=[USER],  # type: ignore[list-item]
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "strict": True,
                    "parameters": {**Weather.model_json_schema()},
                },
            }
        ],
    )

    (call,) = answer.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"city": "Rome"}
