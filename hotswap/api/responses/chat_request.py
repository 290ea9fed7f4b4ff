"""Chat request: what /v1/responses asks for, as the chat that is the same work."""

from typing import Any

from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.responses.input_items import messages_of
from hotswap.api.responses.schemas import NamedFunction, Responses, TextFormat
from hotswap.api.shared.sampling_fields import SamplingFields
from hotswap.api.shared.schemas import convert
from hotswap.errors import BadRequest, ClientError

_LOGPROBS = "message.output_text.logprobs"
# What `include` may ask for that is never here, as there are no such tools.
_ABSENT = {"reasoning.encrypted_content"}
# Chat's names of fields, in errors, and ours.
_NAMES = (
    ("messages", "input"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    (".function.", "."),
)


def chat_of(body: Responses) -> Chat:
    """Raises BadRequest, by the names of this body's fields."""
    messages = messages_of(body.input, body.instructions)
    asked: dict[str, Any] = {
        "messages": messages,
        "model": body.model,
        "adapter": body.adapter,
        "adapters": body.adapters,
        "max_completion_tokens": body.max_output_tokens,
        "tools": _tools(body),
        "tool_choice": _choice(body),
        "parallel_tool_calls": body.parallel_tool_calls,
        "response_format": _format(body.text.format),
        "stream": body.stream,
        **_logprobs(body),
        **{name: getattr(body, name) for name in SamplingFields.__struct_fields__},
    }
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        return convert(given, Chat)
    except BadRequest as error:
        raise renamed(error) from None


def renamed(error: ClientError) -> ClientError:
    """The same error, in this body's words. Mutates it."""
    text, field = str(error), error.field
    for theirs, ours in _NAMES:
        text = text.replace(theirs, ours)
        field = field.replace(theirs, ours) if field else field
    error.args, error.field = (text,), field
    return error


def _logprobs(body: Responses) -> dict[str, Any]:
    unknown = {*body.include} - {_LOGPROBS} - _ABSENT
    if unknown:
        raise BadRequest(f"`include`: {min(unknown)!r} is not supported", "include")
    if _LOGPROBS in body.include or body.top_logprobs:
        return {"logprobs": True, "top_logprobs": body.top_logprobs or 0}
    return {}


def _tools(body: Responses) -> list[dict[str, Any]] | None:
    if not body.tools:
        return None
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": tool.strict,
            },
        }
        for tool in body.tools
    ]


def _choice(body: Responses) -> Any:
    if isinstance(body.tool_choice, NamedFunction):
        return {"type": "function", "function": {"name": body.tool_choice.name}}
    return body.tool_choice


def _format(asked: TextFormat | None) -> dict[str, Any] | None:
    if asked is None or asked.type == "text":
        return None
    if asked.type == "json_object":
        return {"type": "json_object"}
    if asked.schema is None:
        raise BadRequest("`text.format.schema` is missing", "text.format.schema")
    schema = {
        "name": asked.name or "answer",
        "description": asked.description,
        "schema": asked.schema,
        "strict": asked.strict,
    }
    return {"type": "json_schema", "json_schema": schema}
