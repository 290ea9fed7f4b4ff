"""Input items: a conversation of /v1/responses -> the messages of a chat.

A client without a memory on the server sends all items back: its own, and those that
the model said before, with ids that mean nothing here.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta

from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.schemas import Fields, convert
from hotswap.errors import BadRequest

_T = TypeVar("_T", bound=Fields)


def _described(*kinds: type[Fields]) -> dict[str, Any]:
    """A list of any of them, for /schema: `_read` says which one an item is."""
    places = [f"#/components/schemas/{kind.__name__}" for kind in kinds]
    return {"items": {"anyOf": [{"$ref": place} for place in places]}}


class MessagePart(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_PART

    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    text: str


class RefusalPart(Fields, frozen=True, kw_only=True):
    type: Literal["refusal"]
    refusal: str


_Parts = Annotated[
    list[dict[str, Any]],
    Meta(extra_json_schema=_described(MessagePart, RefusalPart)),
]


class MessageItem(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_ITEM

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | _Parts


class FunctionCallItem(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_ITEM

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class FunctionOutputItem(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_ITEM

    type: Literal["function_call_output"]
    call_id: str
    output: str | _Parts


class ReasoningItem(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_ITEM

    type: Literal["reasoning"]
    summary: _Parts | None = None
    content: _Parts | None = None


_KINDS: dict[str, type[Fields]] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionOutputItem,
    "reasoning": ReasoningItem,
}
# All that stands within an input, which its type does not say.
INNER: tuple[type[Fields], ...] = (*_KINDS.values(), MessagePart, RefusalPart)
Items = Annotated[
    list[dict[str, Any]],
    Meta(min_length=1, extra_json_schema=_described(*_KINDS.values())),
]


def messages_of(
    items: str | Sequence[dict[str, Any]], instructions: str | None
) -> list[dict[str, Any]]:
    """OpenAI's chat messages. What an assistant thinks, says and calls in one go is one
    message. Raises BadRequest with the item's place."""
    made: list[dict[str, Any]] = []
    if instructions is not None:
        made.append({"role": "system", "content": instructions})
    if isinstance(items, str):
        return [*made, {"role": "user", "content": items}]
    for index, item in enumerate(items):
        _add(made, _read(item, f"input[{index}]"), f"input[{index}]")
    for message in made:
        if message["role"] == "assistant":
            message.setdefault("content", None if "tool_calls" in message else "")
    return made


def _read(item: dict[str, Any], place: str) -> Fields:
    kind = item.get("type") or "message"
    if not isinstance(kind, str) or kind not in _KINDS:
        why = "is not supported"
        if kind == "item_reference":
            why = "needs a memory, which this server has not: send items whole, as "
            why += "clients do with `store` false"
        raise BadRequest(f"`{place}.type`: {kind!r} {why}", f"{place}.type")
    return _placed(item, _KINDS[kind], place)


def _add(made: list[dict[str, Any]], item: Fields, place: str) -> None:
    match item:
        case MessageItem(role="assistant"):
            said = _assistant(made, until=("content", "tool_calls"))
            said["content"] = _text(item.content, f"{place}.content")
        case MessageItem():
            text = _text(item.content, f"{place}.content")
            made.append({"role": item.role, "content": text})
        case ReasoningItem():
            field = "content" if item.content else "summary"
            text = _text(getattr(item, field) or "", f"{place}.{field}")
            said = _assistant(made, until=("reasoning_content", "content"))
            said["reasoning_content"] = text
        case FunctionCallItem():
            function = {"name": item.name, "arguments": item.arguments}
            call = {"id": item.call_id, "type": "function", "function": function}
            _assistant(made).setdefault("tool_calls", []).append(call)
        case FunctionOutputItem():
            text = _text(item.output, f"{place}.output")
            answer = {"role": "tool", "tool_call_id": item.call_id, "content": text}
            made.append(answer)


def _assistant(made: list[dict[str, Any]], until: Sequence[str] = ()) -> dict[str, Any]:
    """The assistant's message to go on with: another one if the last is not its, or has
    already one of `until`."""
    last = made[-1] if made else {"role": ""}
    if last["role"] != "assistant" or any(field in last for field in until):
        made.append({"role": "assistant"})
    return made[-1]


def _text(content: str | Sequence[dict[str, Any]], place: str) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for index, part in enumerate(content):
        where = f"{place}[{index}]"
        if part.get("type") == "refusal":
            texts.append(_placed(part, RefusalPart, where).refusal)
        else:
            texts.append(_placed(part, MessagePart, where).text)
    return "".join(texts)


def _placed(value: object, kind: type[_T], place: str) -> _T:
    """`convert` of something within a body."""
    try:
        return convert(value, kind)
    except BadRequest as error:
        field = f"{place}.{error.field}" if error.field else place
        text = str(error)
        if error.field:
            text = text.replace(f"`{error.field}`", f"`{field}`", 1)
        if f"`{field}`" not in text:
            text = f"`{field}`: {text}"
        raise BadRequest(text, field) from None
