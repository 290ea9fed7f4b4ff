"""What a response cannot do is refused by name; what clients send anyway passes."""

from collections.abc import Iterator
from typing import Any

import openai.types.responses as types
import pytest
from openai.types.responses import response_create_params
from openai.types.shared_params import Reasoning

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.responses import input_items, schemas
from hotswap.api.shared.schemas import Fields
from tests.hotswap.api.chat.speaking import HERMES, Speaking, speaking
from tests.hotswap.api.responses.asking import TOOLS, refused, respond

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"type": "json_schema", "name": "a", "schema": SCHEMA}
DEEP: dict[str, Any] = {"type": "object", "properties": {"a": {"not": {}}}}


@pytest.fixture(scope="module")
def server() -> Iterator[Speaking]:
    with speaking(HERMES) as server:
        server.library.sidecars["own"] = Sidecar(stop=("#",))
        yield server


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"lora_path": "x"}, "lora_path"),
        ({"messages": []}, "messages"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1 << 21}, "input"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"adapters": ["a", "b"]}, "adapters"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [*TOOLS, TOOLS[0]]}, "tools[2].name"),
        (
            {"tools": [{**TOOLS[0], "parameters": {"type": "array"}}]},
            "tools[0].parameters",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "name": "f"}},
            "tool_choice.name",
        ),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        (
            {"text": {"format": {"type": "text", "schema": SCHEMA}}},
            "text.format.schema",
        ),
        (
            {"text": {"format": {"type": "json_schema", "schema": DEEP}}},
            "text.format.schema",
        ),
        ({"text": {"format": FORMAT}, "stop": "a"}, "stop"),
        (
            {"text": {"format": FORMAT}, "tools": TOOLS, "tool_choice": "required"},
            "text.format.schema",
        ),
        ({"chat_template_kwargs": {"messages": 1}}, "chat_template_kwargs.messages"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
    ],
)
def test_what_is_wrong_is_named_as_this_body_names_it(
    server: Speaking, body: dict[str, Any], field: str
) -> None:
    named, message = refused(server.http, **body)

    assert named == field
    for theirs in ("response_format", "max_completion_tokens", ".function"):
        assert theirs not in message


def test_a_contradiction_names_both_fields_as_this_body_does(server: Speaking) -> None:
    _, message = refused(server.http, text={"format": FORMAT}, stop="a")

    assert "`stop` contradicts `text.format.schema`" in message


def test_a_template_that_shows_no_tools_is_told_by_their_field() -> None:
    with speaking("{% for m in messages %}{{ m.content }}{% endfor %}") as server:
        assert refused(server.http, tools=TOOLS)[0] == "tools"


# What clients send where nobody asks them to, with a second turn.
TURN: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "input_text", "text": "How is Rome?"}]},
    {
        "type": "function_call",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": "{}",
        "id": "fc_1",
    },
    {"type": "function_call_output", "call_id": "call_1", "output": "sun"},
]
DEFAULTS: dict[str, dict[str, Any]] = {
    "AI SDK": {"tools": [{**TOOLS[0], "strict": False}], "tool_choice": "auto"},
    "AI SDK, an object": {"text": {"format": {**FORMAT, "strict": True}}},
    "AI SDK, store": {"store": False, "include": ["reasoning.encrypted_content"]},
    "pydantic-ai": {
        "include": ["reasoning.encrypted_content"],
        "parallel_tool_calls": True,
        "tools": [{**TOOLS[0], "strict": True}],
        "tool_choice": "auto",
    },
    "LangChain": {"text": {"format": FORMAT, "verbosity": "medium"}, "stream": False},
    "openai-agents": {"include": [], "tools": [], "instructions": "Be brief."},
    "Codex": {
        "reasoning": {"summary": "auto"},
        "store": False,
        "prompt_cache_key": "x",
        "stream_options": {"include_obfuscation": False},
        "service_tier": "auto",
        "truncation": "disabled",
        "background": False,
        "metadata": {"a": "b"},
        "user": "me",
    },
}


@pytest.mark.parametrize("client", DEFAULTS)
def test_what_clients_send_by_default_passes(server: Speaking, client: str) -> None:
    server.says("Ahoy")

    answer = respond(server.http, **DEFAULTS[client], input=TURN)

    assert answer["output"][-1]["content"][0]["text"] == "Ahoy"
    assert answer["metadata"] == DEFAULTS[client].get("metadata", {})
    assert answer["store"] is False


def test_every_field_of_openais_own_client_is_known() -> None:
    def fields(*kinds: Any) -> set[str]:
        return {field for kind in kinds for field in kind.__annotations__}

    item = input_items.MessageItem
    known: list[tuple[type[Fields], set[str]]] = [
        (
            schemas.Responses,
            fields(response_create_params.ResponseCreateParamsBase) | {"stream"},
        ),
        (schemas.Text, fields(types.ResponseTextConfigParam)),
        (schemas.ReasoningOptions, fields(Reasoning)),
        (schemas.ResponsesStreamOptions, fields(response_create_params.StreamOptions)),
        (schemas.FunctionTool, fields(types.FunctionToolParam)),
        (schemas.NamedFunction, fields(types.ToolChoiceFunctionParam)),
        (schemas.TextFormat, fields(types.ResponseFormatTextJSONSchemaConfigParam)),
        (item, fields(types.EasyInputMessageParam, types.ResponseOutputMessageParam)),
        (input_items.FunctionCallItem, fields(types.ResponseFunctionToolCallParam)),
        (input_items.ReasoningItem, fields(types.ResponseReasoningItemParam)),
        (
            input_items.MessagePart,
            fields(types.ResponseInputTextParam, types.ResponseOutputTextParam),
        ),
    ]

    for kind, names in known:
        assert names <= {*kind.__struct_fields__, *kind.foreign}, kind
