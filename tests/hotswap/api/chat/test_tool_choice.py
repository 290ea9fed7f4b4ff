"""`tools` and `tool_choice`: what is refused by name, and what a forced call has to
match."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.shared.schemas import convert
from tests.hotswap.api.chat.speaking import (
    HERMES,
    TIME,
    TOOLS,
    USER,
    WEATHER,
    Speaking,
    speaking,
)

CHOICE: dict[str, Any] = {"type": "function", "function": {"name": "get_weather"}}


@pytest.fixture(scope="module")
def hermes() -> Iterator[Speaking]:
    with speaking(HERMES) as server:
        yield server


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **fields}}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"tool_choice": "required", "tools": []}, "tool_choice"),
    ({"tool_choice": CHOICE}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": "any"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
    (
        {"tools": [TIME], "tool_choice": CHOICE},
        "tool_choice.function.name",
    ),
    ({"tools": [WEATHER, TIME, WEATHER]}, "tools[2].function.name"),
    ({"tools": [function(name="a b")]}, "tools[0].function.name"),
    ({"tools": [function(name="")]}, "tools[0].function.name"),
    ({"tools": [function(name="x" * 129)]}, "tools[0].function.name"),
    ({"tools": [function(parameters=[])]}, "tools[0].function.parameters"),
    ({"tools": [function(parameters={"type": "string"})]}, "tools[0].function.paramet"),
    ({"tools": [function(paramters={})]}, "tools[0].function.paramters"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0]."),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [TIME] * 129}, "tools"),
    ({"tools": {}}, "tools"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"function_call": {"name": "f"}}, "function_call"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs.tokenize"),
    ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
    ({"chat_template_kwargs": {f"v{n}": 1 for n in range(65)}}, "chat_template_kwargs"),
    ({"documents": ["Rome"]}, "documents["),
    (
        {"continue_final_message": True, "add_generation_prompt": True},
        "continue_final_message",
    ),
    ({"chat_template": "{{ nothing() }}"}, "chat_template"),
    ({"chat_template": "{% for"}, "chat_template"),
    ({"chat_template": "x" * (1 << 19)}, "chat_template"),
]


@pytest.mark.parametrize(("body", "field"), REFUSED, ids=str)
def test_what_cannot_be_is_refused_by_name(
    body: dict[str, Any], field: str, hermes: Speaking
) -> None:
    error = hermes.error(**body)

    assert (error["param"] or "").startswith(field)


@pytest.mark.parametrize(
    "body",
    [
        {"tools": []},
        {"tool_choice": "none"},
        {"tools": [], "tool_choice": "none"},
        {"parallel_tool_calls": False},
        {"tools": TOOLS, "tool_choice": None},
        {"tools": [function(parameters=None, description=None, strict=None)]},
        {"tools": [function(strict=True, parameters={})]},
    ],
    ids=str,
)
def test_what_asks_for_nothing_passes(body: dict[str, Any], hermes: Speaking) -> None:
    answer = hermes.http.post("/v1/chat/completions", json={"messages": [USER], **body})

    assert answer.status_code == 200, answer.text


def schema_of(**body: Any) -> dict[str, Any]:
    said = {"messages": [USER], "tools": TOOLS, **body}
    grammar = convert(said, Chat).calling.grammar()
    assert grammar is not None
    assert (grammar.kind, grammar.field) == ("json_schema", "tool_choice")
    schema: dict[str, Any] = msgspec.json.decode(grammar.source)
    return schema


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_what_is_not_forced_has_no_grammar(choice: str | None) -> None:
    body = {"messages": [USER], "tools": TOOLS, "tool_choice": choice}

    assert convert(body, Chat).calling.grammar() is None


def test_a_named_function_is_forced_to_its_own_schema() -> None:
    assert schema_of(tool_choice=CHOICE) == WEATHER["function"]["parameters"]
    time = {"type": "function", "function": {"name": "get_time"}}
    assert schema_of(tool_choice=time) == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_required_is_an_array_of_calls_or_of_one() -> None:
    schema = schema_of(tool_choice="required")

    weather, _ = schema["items"]["anyOf"]
    assert (schema["type"], schema["minItems"]) == ("array", 1)
    assert weather["properties"]["parameters"] == WEATHER["function"]["parameters"]
    assert weather["required"] == ["name", "parameters"]
    assert "maxItems" not in schema
    single = schema_of(tool_choice="required", parallel_tool_calls=False)
    assert single["maxItems"] == 1


def test_references_of_a_functions_schema_lead_where_they_led() -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "self": {"$ref": "#"}},
        "$defs": {"A": {"enum": [1]}},
    }
    tools = [function(name="a/b", parameters=parameters), function(name="g")]

    schema = schema_of(tools=tools, tool_choice="required")

    def followed(reference: str) -> Any:
        found: Any = schema
        for part in reference.removeprefix("#").split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found

    first, second = schema["items"]["anyOf"]
    moved = followed(first["properties"]["parameters"]["$ref"])
    assert followed(moved["properties"]["a"]["$ref"]) == {"enum": [1]}
    assert followed(moved["properties"]["self"]["$ref"]) == moved
    assert "$ref" not in json.dumps(second)


def test_a_forced_job_is_asked_for_with_its_grammar(
    hermes: Speaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    submit = hermes.submitted(monkeypatch, seen)

    submit(tools=TOOLS, tool_choice="required", n=2)
    submit(tools=TOOLS)

    assert [request.grammar is not None for request in seen] == [True, True, False]


def test_a_requests_own_template_is_rendered_apart_from_all_others(
    hermes: Speaking,
) -> None:
    body = {
        "messages": [USER],
        "chat_template": "{{ messages[0].content }}|{{ mood }}|{{ bos_token }}",
        "chat_template_kwargs": {"mood": "blue"},
    }

    answer = hermes.http.post("/v1/chat/completions", json=body)

    assert answer.status_code == 200, answer.text
    assert hermes.engine.prompt == "How is Rome?|blue|<bos>"


def test_what_is_said_of_templates_reaches_the_prompt(hermes: Speaking) -> None:
    def prompt(**body: Any) -> str:
        said = {"messages": [USER], **body}
        assert hermes.http.post("/v1/chat/completions", json=said).status_code == 200
        return hermes.engine.prompt

    closed = "<|im_start|>user\nHow is Rome?<|im_end|>\n"
    assert prompt() == closed + "<|im_start|>assistant\n"
    assert prompt(add_generation_prompt=False) == closed
    assert prompt(continue_final_message=True) == "<|im_start|>user\nHow is Rome?"
    assert prompt(chat_template_kwargs={"thinks": True}).endswith("<think>\n")
