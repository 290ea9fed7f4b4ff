"""Chat request: what /v1/responses asks for, as the chat that is the same work."""

import re
from typing import Any

import msgspec

from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.responses.input_items import messages_of
from hotswap.api.responses.schemas import ABSENT, LOGPROBS, Responses, TextFormat
from hotswap.api.shared.sampling_fields import SamplingFields
from hotswap.api.shared.schemas import convert
from hotswap.errors import BadRequest, ClientError

# Fields that are the same in both bodies.
_ALIKE = (
    *SamplingFields.__struct_fields__,
    *("model", "adapter", "adapters", "parallel_tool_calls", "stop", "ignore_eos"),
    *("include_stop_str_in_output", "skip_special_tokens", "logit_bias"),
    *("structured_outputs", "chat_template_kwargs", "cache_salt"),
)
# A chat's names of the others, as errors have them, and ours.
_NAMES = (
    (re.compile(r"messages\b.*"), "input"),
    (re.compile(r"max_completion_tokens"), "max_output_tokens"),
    (re.compile(r"response_format(\.json_schema)?(.*)"), r"text.format\2"),
    (re.compile(r"(tools\[\d+\]|tool_choice)\.function\b(.*)"), r"\1\2"),
)


def chat_of(body: Responses) -> Chat:
    """Raises BadRequest."""
    unknown = {*(body.include or ())} - {LOGPROBS} - ABSENT
    if unknown:
        raise BadRequest(f"`include`: {min(unknown)!r} is not supported", "include")
    said = msgspec.to_builtins(body)
    asked: dict[str, Any] = {
        **{name: said[name] for name in _ALIKE},
        "messages": messages_of(body.input, body.instructions),
        "max_completion_tokens": body.max_output_tokens,
        "tools": [_nested(tool) for tool in said["tools"] or []],
        "tool_choice": _choice(said["tool_choice"]),
        "response_format": _format(body.text.format),
        "logprobs": body.tells_logprobs,
        "top_logprobs": body.top_logprobs,
    }
    return convert(asked, Chat)


def renamed(error: ClientError) -> ClientError:
    """The same error, with this body's names of fields. Mutates it."""
    if error.field is None:
        return error
    field = _ours(error.field)
    text = str(error).replace(f"`{error.field}`", f"`{field}`")
    # Another field that this one contradicts.
    text = re.sub(r"`((response_format|max_comp)[\w.]+)`", _quoted, text)
    error.args, error.field = (text,), field
    return error


def _ours(name: str) -> str:
    for theirs, ours in _NAMES:
        if found := theirs.fullmatch(name):
            return found.expand(ours)
    return name


def _quoted(found: re.Match[str]) -> str:
    return f"`{_ours(found[1])}`"


def _nested(tool: dict[str, Any]) -> dict[str, Any]:
    """As a chat has it: what it says of the function is an object of its own."""
    function = {name: tool[name] for name in tool if name != "type"}
    return {"type": tool["type"], "function": function}


def _choice(said: Any) -> Any:
    return _nested(said) if isinstance(said, dict) else said


def _format(asked: TextFormat | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    if asked.type == "json_schema":
        said = {name: getattr(asked, name) for name in _OF_SCHEMA}
        return {"type": asked.type, "json_schema": said}
    for name in _OF_SCHEMA:
        if getattr(asked, name) is not None:
            place = f"text.format.{name}"
            raise BadRequest(f"`{place}` needs the type `json_schema`", place)
    return {"type": asked.type}


_OF_SCHEMA = ("name", "description", "schema", "strict")
