"""Peer fields: what the requests of others may say, and what the page says of it.

`tests/data/peer_fields/*.json`: of each peer, for each body of ours, the names of its
fields, as facts from its source of that version. OpenAI's are those of its package.
`docs/fields.md`: a section for each body, a row for each field.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from openai.types import chat, completion_create_params, shared_params
from openai.types.chat import completion_create_params as chat_params

from hotswap.api.shared.schemas import Fields
from tests.pages import ROOT

PAGE = ROOT / "docs" / "fields.md"
LISTS = ROOT / "tests" / "data" / "peer_fields"
_ROLES = ("System", "Developer", "User", "Assistant", "Tool", "Function")
_OPENAI: dict[str, list[type]] = {
    "Completion": [completion_create_params.CompletionCreateParamsStreaming],
    "Chat": [chat_params.CompletionCreateParamsStreaming],
    "ChatMessage": [
        getattr(chat, f"ChatCompletion{role}MessageParam") for role in _ROLES
    ],
    "ToolCall": [chat.ChatCompletionMessageFunctionToolCallParam],
    "StreamOptions": [chat.ChatCompletionStreamOptionsParam],
    "Tool": [chat.ChatCompletionFunctionToolParam],
    "Function": [shared_params.FunctionDefinition],
    "ToolChoice": [chat.ChatCompletionNamedToolChoiceParam],
    "ResponseFormat": [
        shared_params.ResponseFormatText,
        shared_params.ResponseFormatJSONObject,
        shared_params.ResponseFormatJSONSchema,
    ],
    "JsonSchemaFormat": [shared_params.response_format_json_schema.JSONSchema],
}
_SECTION = re.compile(r"^## .*\(`(\w+)`\)$", re.M)
_ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", re.M)


@dataclass(frozen=True, slots=True)
class Row:
    """A field of a body, by the name of its class here. `status`: done, neutral or
    refused. `passes`: the values that do, as the page writes them. `test`: FILE: TEST.
    """

    body: str
    field: str
    peers: str
    status: str
    passes: str
    test: str


def peers() -> dict[str, dict[str, set[str]]]:
    """Of each body here, by each peer's name, the fields that it has there."""
    found: dict[str, dict[str, set[str]]] = {}
    for body, kinds in _OPENAI.items():
        fields = {field for kind in kinds for field in kind.__annotations__}
        found[body] = {"OpenAI": fields}
    for name in ("vllm", "djl", "tgi", "lorax"):
        said = json.loads((LISTS / f"{name}.json").read_text())
        for body, there in said["bodies"].items():
            found.setdefault(body, {})[said["peer"]] = set(there["fields"])
    return found


def rows() -> list[Row]:
    """Of the page."""
    _, *parts = _SECTION.split(PAGE.read_text())
    found = []
    for body, text in zip(parts[::2], parts[1::2], strict=True):
        for field, of, here, test in _ROW.findall(text):
            status, _, passes = here.partition(": ")
            found.append(Row(body, field, of, status, passes, test.strip("`")))
    return found


def bodies(kind: type[Fields] = Fields) -> Iterator[type[Fields]]:
    """Every JSON object that a route reads and that the application has imported."""
    for one in kind.__subclasses__():
        yield one
        yield from bodies(one)
