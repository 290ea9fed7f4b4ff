"""A conversation of items is to the model what the same chat is."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hotswap.api.chat import speaking
from tests.hotswap.api.chat.speaking import Speaking
from tests.hotswap.api.responses.asking import TOOLS, refused, respond

# It shows all that an assistant may have.
ALL = (
    "{% for m in messages %}[{{ m.role }}]{{ m.reasoning_content or '' }}|"
    "{{ m.content or '' }}|{% for c in m.tool_calls or [] %}{{ c.id }}="
    "{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}|"
    "{{ m.tool_call_id or '' }}\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}"
)
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
OTHER = {**CALL, "call_id": "c2", "id": "fc_1", "status": "completed"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "4"}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "hm"}],
}


def says(role: str, *texts: str, kind: str = "input_text", **fields: Any) -> Any:
    parts = [{"type": kind, "text": text} for text in texts]
    return {"type": "message", "role": role, "content": parts, **fields}


def called(*ids: str) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": '{"a": 1}'}
    return [{"id": each, "type": "function", "function": function} for each in ids]


CASES: list[tuple[str | list[Any], list[dict[str, Any]]]] = [
    ("hi", [{"role": "user", "content": "hi"}]),
    ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}]),
    (
        [says("developer", "Be", " brief"), says("user", "hi")],
        [
            {"role": "developer", "content": "Be brief"},
            {"role": "user", "content": "hi"},
        ],
    ),
    (
        [
            says("user", "hi"),
            THOUGHT,
            says("assistant", "yes", kind="output_text", id="msg_1", phase=None),
            CALL,
            OTHER,
            OUTPUT,
            {
                **OUTPUT,
                "call_id": "c2",
                "output": [{"type": "input_text", "text": "5"}],
            },
            says("user", "and?"),
        ],
        [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "yes",
                "reasoning_content": "hm",
                "tool_calls": called("c1", "c2"),
            },
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
            {"role": "tool", "tool_call_id": "c2", "content": "5"},
            {"role": "user", "content": "and?"},
        ],
    ),
    (
        [
            says("assistant", "a"),
            says("assistant", "b"),
            THOUGHT,
            CALL,
            OUTPUT,
            THOUGHT,
        ],
        [
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "b"},
            {
                "role": "assistant",
                "reasoning_content": "hm",
                "tool_calls": called("c1"),
            },
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
            {"role": "assistant", "content": "", "reasoning_content": "hm"},
        ],
    ),
    (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [{"role": "assistant", "content": "no"}],
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Speaking]:
    with speaking.speaking(ALL) as server:
        yield server


@pytest.mark.parametrize("has_tools", [False, True])
@pytest.mark.parametrize("instructions", [None, "Be kind"])
@pytest.mark.parametrize(("items", "messages"), CASES)
def test_items_are_the_messages_of_a_chat(
    *,
    server: Speaking,
    items: str | list[Any],
    messages: list[dict[str, Any]],
    instructions: str | None,
    has_tools: bool,
) -> None:
    first = [{"role": "system", "content": instructions}] if instructions else []
    tools = {"tools": speaking.TOOLS} if has_tools else {}
    chat = {"messages": [*first, *messages], **tools}
    expected = server.http.post("/v1/chat/completions", json=chat)
    assert expected.status_code == 200, expected.text
    prompt = server.engine.prompt

    tools = {"tools": TOOLS} if has_tools else {}
    respond(server.http, input=items, instructions=instructions, **tools)

    assert server.engine.prompt == prompt


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "type"),
        ({"type": "web_search_call", "id": "ws_1"}, "type"),
        ({"type": ["message"]}, "type"),
        ({"role": "robot", "content": "hi"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": "hi", "contnet": 1}, "contnet"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "content[0].type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "content[0].text"),
        ({"role": "user", "content": [5]}, "content[0]"),
        ({"type": "function_call", "name": "f", "arguments": ""}, "call_id"),
        ({**OUTPUT, "output": 4}, "output"),
        ({**OUTPUT, "output": [{"type": "input_file"}]}, "output[0].type"),
        ({**THOUGHT, "encrypted_content": "x"}, "encrypted_content"),
        (
            {**THOUGHT, "summary": [{"type": "text"}], "content": None},
            "summary[0].text",
        ),
    ],
)
def test_what_is_wrong_with_an_item_is_named_with_its_place(
    server: Speaking, item: dict[str, Any], field: str
) -> None:
    named, message = refused(server.http, input=[says("user", "hi"), item])

    assert named == f"input[1].{field}"
    assert f"`{named}`" in message
