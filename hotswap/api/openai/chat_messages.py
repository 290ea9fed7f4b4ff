"""Chat messages: OpenAI's, and what a template gets of them, as vLLM makes it."""

import json
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.schemas import Fields
from hotswap.errors import BadRequest

_PARTS = ("text", "refusal")  # the kinds of parts, each with a field of its name


class ContentPart(Fields, frozen=True, kw_only=True):
    """The field that its `type` names has its text."""

    type: Literal["text", "refusal"]
    text: str | None = None
    refusal: str | None = None


class CalledFunction(Fields, frozen=True, kw_only=True):
    """`arguments`: JSON, as the model wrote it."""

    name: str
    arguments: str | None = None


class ToolCall(Fields, frozen=True, kw_only=True):
    """`index`: what a streamed call has besides; it says nothing here."""

    inner: ClassVar = {"function": CalledFunction}

    id: str | None = None
    type: Literal["function"] = "function"
    index: int | None = None
    function: CalledFunction


class ChatMessage(Fields, frozen=True, kw_only=True):
    """OpenAI's role `function` is of an API that `tools` has replaced."""

    foreign = unsupported_fields.MESSAGE
    inner: ClassVar = {"tool_calls": ToolCall, "content": ContentPart}

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[ContentPart], Meta(min_length=1)] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None  # the same by its older name
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


_OF_ASSISTANT = ("refusal", "reasoning", "reasoning_content", "tool_calls")


def templated(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    """As a template gets them: a field that was not said is not there. Raises
    BadRequest for what a role lacks or may not have."""
    return [_templated(each, f"messages[{i}]") for i, each in enumerate(messages)]


def _templated(message: ChatMessage, place: str) -> dict[str, Any]:
    role, content = message.role, _content(message, place)
    for field in _OF_ASSISTANT:
        if role != "assistant" and getattr(message, field):
            raise _wrong(
                place, field, f"only the role `assistant` has it, not `{role}`"
            )
    if role != "tool" and message.tool_call_id is not None:
        raise _wrong(
            place, "tool_call_id", f"only the role `tool` has it, not `{role}`"
        )
    if role == "tool" and message.tool_call_id is None:
        raise _wrong(place, "tool_call_id", "it says which call this answers")
    calls = message.tool_calls or []
    if content is None and not calls:
        raise _wrong(place, "content", "it has to be a text, or a list of parts")
    said = {
        "role": role,
        "content": content,
        "name": message.name,
        "reasoning_content": message.reasoning or message.reasoning_content,
        "tool_calls": [_call(each) for each in calls] or None,
        "tool_call_id": message.tool_call_id,
    }
    return {field: value for field, value in said.items() if value is not None}


def _content(message: ChatMessage, place: str) -> str | None:
    """The text; an assistant's refusal is what it said."""
    content = message.content
    if content is None:
        return message.refusal
    if isinstance(content, str):
        return content
    texts = []
    for index, part in enumerate(content):
        text = getattr(part, part.type)
        if text is None:
            raise _wrong(f"{place}.content[{index}]", part.type, "it has the text")
        if any(getattr(part, each) is not None for each in _PARTS if each != part.type):
            raise _wrong(f"{place}.content[{index}]", "type", "it has one text")
        texts.append(text)
    return "".join(texts)


def _call(call: ToolCall) -> dict[str, Any]:
    """Templates read arguments as an object. What is none, because a model wrote it,
    is empty, as in vLLM: the conversation has to go on."""
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = {}
    if not isinstance(arguments, dict):
        arguments = {}
    made = msgspec.to_builtins(call)
    made["function"]["arguments"] = arguments
    return {key: made[key] for key in ("id", "type", "function") if made[key]}


def _wrong(place: str, field: str, why: str) -> BadRequest:
    return BadRequest(f"`{place}.{field}`: {why}", f"{place}.{field}")
