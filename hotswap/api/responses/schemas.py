"""Schemas: the body of /v1/responses."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from hotswap.api.openai.tool_schemas import FunctionName
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.sampling_fields import MaxTokens, SamplingFields
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams


class FunctionTool(Fields, frozen=True, kw_only=True):
    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(Fields, frozen=True, kw_only=True):
    type: Literal["function"]
    name: str


class TextFormat(Fields, frozen=True, kw_only=True):
    """`schema` and what stands with it belong to `json_schema`."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Text(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_TEXT
    inner: ClassVar = {"format": TextFormat}

    format: TextFormat | None = None


class ReasoningOptions(Fields, frozen=True, kw_only=True):
    """Whether a model reasons is its own: no effort is another's."""

    foreign = unsupported_fields.RESPONSES_REASONING


class ResponsesStreamOptions(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_STREAM


class Responses(SamplingFields, frozen=True, kw_only=True):
    """`input`: a text, or items of a conversation (`input_items`). What a server with a
    memory would do (`store`, `previous_response_id`, ...) is refused by name."""

    defaults = SamplingParams()
    foreign = unsupported_fields.RESPONSES
    inner: ClassVar = {
        "tools": FunctionTool,
        "tool_choice": NamedFunction,
        "text": Text,
        "reasoning": ReasoningOptions,
        "stream_options": ResponsesStreamOptions,
    }

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    input: str | Annotated[list[dict[str, Any]], Meta(min_length=1)]
    instructions: str | None = None
    max_output_tokens: MaxTokens | None = None
    tools: Annotated[list[FunctionTool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    parallel_tool_calls: bool = True
    text: Text = Text()
    reasoning: ReasoningOptions | None = None
    include: list[str] = []
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    stream: bool = False
    stream_options: ResponsesStreamOptions = ResponsesStreamOptions()
