"""Forced calls on a real server: whatever a random model wants to say, they parse, and
their arguments fit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest

from hotswap import app
from tests import tiny
from tests.hotswap.api.chat.speaking import IGNORES
from tests.servers import NO_TLS, Live, settings

pytestmark = pytest.mark.slow
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"enum": ["Rome", "Oslo"]},
                    "days": {"type": "integer", "minimum": 0, "maximum": 9},
                    "unit": {"$ref": "#/$defs/Unit"},
                },
                "required": ["city", "days", "unit"],
                "additionalProperties": False,
                "$defs": {"Unit": {"enum": ["C", "F"]}},
            },
        },
    },
    {"type": "function", "function": {"name": "time"}},
]
SCHEMAS = {
    tool["function"]["name"]: tool["function"].get("parameters", {"maxProperties": 0})
    for tool in TOOLS
}
NAMED = {"type": "function", "function": {"name": "weather"}}
ONE: dict[str, Any] = {"tool_choice": "required", "parallel_tool_calls": False}


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, adapter_folders: Path
) -> Iterator[openai.OpenAI]:
    """Of a model with room for tools, whose template does not show them."""
    folder = tmp_path_factory.mktemp("tools") / "tiny"
    tiny.model("llama").save_pretrained(folder)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = IGNORES
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = 4096
    (folder / "config.json").write_text(json.dumps(config))
    with (
        Live(app.build(settings(folder, adapter_folders))) as live,
        openai.OpenAI(
            base_url=f"{live.url}/v1",
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(verify=NO_TLS),
        ) as client,
    ):
        yield client


def create(client: openai.OpenAI, **fields: Any) -> Any:
    body: dict[str, Any] = {"model": "tiny", "tools": TOOLS, "max_tokens": 400}
    body["messages"] = [{"role": "user", "content": "How is Rome?"}]
    return client.chat.completions.create(**body | fields)


def check(name: str, arguments: str) -> None:
    jsonschema.validate(json.loads(arguments), SCHEMAS[name])


@pytest.mark.parametrize("adapter", ["tiny", "a1"])
def test_forced_calls_always_parse_and_fit_their_schema(
    client: openai.OpenAI, adapter: str
) -> None:
    required = create(client, model=adapter, n=4, seed=1, **ONE).choices
    named = create(client, model=adapter, n=2, seed=2, tool_choice=NAMED).choices

    names = []
    for choice in [*required, *named]:
        (call,) = choice.message.tool_calls
        names.append(call.function.name)
        check(call.function.name, call.function.arguments)
        assert choice.message.content is None
    assert {choice.finish_reason for choice in required} == {"tool_calls"}
    assert {choice.finish_reason for choice in named} == {"stop"}
    assert {*names} == {"weather", "time"}
    assert {*names[4:]} == {"weather"}


def test_several_calls_of_one_answer_parse_each(client: openai.OpenAI) -> None:
    choices = create(
        client, n=3, seed=3, max_tokens=250, tool_choice="required"
    ).choices

    assert max(len(choice.message.tool_calls) for choice in choices) > 1
    for choice in choices:
        for call in choice.message.tool_calls:
            if choice.finish_reason == "tool_calls":
                check(call.function.name, call.function.arguments)


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI) -> None:
    sampled: dict[str, Any] = {"seed": 5, **ONE}
    (call,) = create(client, **sampled).choices[0].message.tool_calls

    deltas = [
        delta
        for chunk in create(client, stream=True, **sampled)
        for delta in chunk.choices[0].delta.tool_calls or []
    ]

    assert deltas[0].function.name == call.function.name
    told = "".join(delta.function.arguments for delta in deltas)
    assert told == call.function.arguments


def test_without_force_this_template_is_refused_and_without_tools_it_answers(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client)
    assert refused.value.param == "tools"
    assert create(client, tool_choice="none", max_tokens=3).choices[0].message.content


def test_a_forced_call_and_a_format_contradict_each_other(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, response_format={"type": "json_object"}, **ONE)
    assert refused.value.param == "response_format"
