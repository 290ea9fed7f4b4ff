"""Schemas: the body of /v1/responses."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from hotswap.api.openai.structured import StructuredOutputs
from hotswap.api.openai.tool_schemas import FunctionName
from hotswap.api.responses.input_items import Items
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.sampling_fields import SamplingFields
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams
from hotswap.sampling_ranges import (
    Bias,
    CacheSalt,
    MaxTokens,
    StopString,
    StopStrings,
    TopLogprobs,
)


class FunctionTool(Fields, frozen=True, kw_only=True):
    """A chat's tool, without the object `function`."""

    foreign = unsupported_fields.RESPONSES_TOOL

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
    """Whether a model reasons is its own affair: no effort can be asked for."""

    foreign = unsupported_fields.RESPONSES_REASONING


class ResponsesStreamOptions(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.RESPONSES_STREAM


class Responses(SamplingFields, frozen=True, kw_only=True):
    """`input`: a text, or items of a conversation (`input_items`). What a server with a
    memory would do (`store`, `previous_response_id`, ...) is refused by name. From
    `stop` on they are vLLM's, as in a chat."""

    defaults = SamplingParams()
    foreign = unsupported_fields.RESPONSES
    inner: ClassVar = {
        "tools": FunctionTool,
        "tool_choice": NamedFunction,
        "text": Text,
        "reasoning": ReasoningOptions,
        "stream_options": ResponsesStreamOptions,
        "structured_outputs": StructuredOutputs,
    }

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    input: str | Items
    instructions: str | None = None
    max_output_tokens: MaxTokens | None = None
    tools: Annotated[list[FunctionTool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    parallel_tool_calls: bool = True
    text: Text = Text()
    reasoning: ReasoningOptions | None = None
    include: list[str] | None = None
    top_logprobs: TopLogprobs | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    stream: bool = False
    stream_options: ResponsesStreamOptions | None = None
    stop: StopString | StopStrings | None = None
    ignore_eos: bool = False
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    logit_bias: Annotated[dict[str, Bias], Meta(max_length=1000)] | None = None
    structured_outputs: StructuredOutputs | None = None
    cache_salt: CacheSalt | None = None
    chat_template_kwargs: Annotated[dict[str, Any], Meta(max_length=64)] | None = None

    @property
    def tells_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ()) or bool(self.top_logprobs)


# What `include` may ask for, and what it may ask for in vain: there is no such thing.
LOGPROBS = "message.output_text.logprobs"
ABSENT = frozenset({"reasoning.encrypted_content"})
