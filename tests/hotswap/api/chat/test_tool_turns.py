"""Tools in a conversation: what templates are told, and by what calls are read."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hotswap.adapters.sidecar import Sidecar
from tests.hotswap.api.chat.speaking import (
    HERMES,
    IGNORES,
    MISTRAL,
    TOOLS,
    UNKNOWN,
    USER,
    WEATHER,
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


def test_a_conversation_goes_on_with_what_the_client_was_given(
    hermes: Speaking,
) -> None:
    hermes.says(CALL)
    message = create(hermes).choices[0].message
    result = {
        "role": "tool",
        "tool_call_id": message.tool_calls[0].id,
        "content": "sunny",
    }
    hermes.says("It is sunny.")

    for sent in (message, message.model_dump(), message.model_dump(exclude_none=True)):
        answer = create(hermes, messages=[USER, sent, result])

        assert answer.choices[0].message.content == "It is sunny."
        assert CALL in hermes.engine.prompt
        assert "<|im_start|>tool\nsunny<|im_end|>" in hermes.engine.prompt


@pytest.mark.parametrize("arguments", ["", "{broken", "[1]", "3", None])
def test_arguments_that_are_no_object_are_an_empty_one_to_the_template(
    arguments: str | None, hermes: Speaking
) -> None:
    function = {"name": "get_time", "arguments": arguments}
    call = {"id": "1", "type": "function", "function": function}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "1", "content": "noon"}

    answer = hermes.http.post(
        "/v1/chat/completions", json={"messages": [USER, said, result]}
    )

    assert answer.status_code == 200
    assert TIME in hermes.engine.prompt


def test_special_tokens_are_asked_for_where_markers_may_be_some_and_then_removed() -> (
    None
):
    array = f'[{{"name": "get_weather", "arguments": {ROME}}}]'
    with speaking(MISTRAL, special=["[TOOL_CALLS]", "[INST]"]) as server:
        server.says(f"Well[INST].[TOOL_CALLS]{array}", size=4)
        message = create(server).choices[0].message
        assert server.engine.messages[-1].params.skips_special is False
        create(server, tools=None)
        assert server.engine.messages[-1].params.skips_special is True
        create(server, tool_choice="required")
        assert server.engine.messages[-1].params.skips_special is True

    assert message.content == "Well."
    assert calls_of(message) == [("get_weather", ROME)]
    assert len(message.tool_calls[0].id) == 9


def test_ids_that_mistrals_template_was_given_come_back_to_it() -> None:
    with speaking(MISTRAL) as server:
        for choice, text in (
            ("auto", f"[TOOL_CALLS]get_weather{ROME}"),
            ("required", f'[{{"name": "get_weather", "parameters": {ROME}}}]'),
            (NAMED, ROME),
        ):
            server.says(text)
            message = create(server, tool_choice=choice).choices[0].message
            result = {"role": "tool", "content": "sunny"}
            result["tool_call_id"] = message.tool_calls[0].id
            create(server, messages=[USER, message, result])


def test_an_adapter_or_the_server_may_name_the_parser() -> None:
    text = f'{{"name": "get_weather", "parameters": {ROME}}}'
    with speaking(IGNORES, tool_parser="llama3_json") as server:
        server.library.sidecars["own"] = Sidecar(tool_parser="qwen25")
        server.says(text)
        assert calls_of(create(server).choices[0].message) == [("get_weather", ROME)]
        assert '{"name": <function-name>, "parameters"' in server.engine.prompt
        own = create(server, model="own").choices[0].message
        assert own.content == text
        assert "<tool_call>" in server.engine.prompt
        server.says(CALL)
        own = create(server, model="own").choices[0].message
        assert calls_of(own) == [("get_weather", ROME)]


@pytest.mark.parametrize("template", [IGNORES, UNKNOWN])
def test_a_template_by_which_no_call_can_be_read_is_refused_unless_it_is_forced(
    template: str,
) -> None:
    with speaking(template) as server:
        error = server.error(tools=TOOLS)
        assert error["param"] == "tools"
        assert "tool_choice" in error["message"]
        assert not server.engine.messages
        server.says(ROME)
        forced = create(server, tool_choice=NAMED).choices[0].message
        assert calls_of(forced) == [("get_weather", ROME)]
        assert json.dumps(WEATHER["function"]["parameters"]) in server.engine.prompt
