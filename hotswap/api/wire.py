"""Wire: the bodies of requests, with their ranges. No decisions.

Unknown fields are refused: a misspelled `adapter` must not be answered by the base
model. Fields that this server cannot honour are listed, so that their neutral values
pass and any other value is refused by name.
"""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from hotswap.errors import BadRequest

_T = TypeVar("_T")
MOST_VALUES = 1 << 16  # of a body, beside the tokens of a prompt
_PATH = re.compile(r" - at `\$\.?((\w*)[^`]*)`")
_NAMED = re.compile(r"field `(\w+)`")

MaxTokens = Annotated[int, Meta(ge=1, le=1 << 24)]
Temperature = Annotated[float, Meta(ge=0, le=100)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=-1, le=1 << 31)]
Seed = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Copies = Annotated[int, Meta(ge=1, le=64)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
StopStrings = Annotated[list[StopString], Meta(max_length=16)]
TokenId = Annotated[int, Meta(ge=0)]
TokenIds = Annotated[list[TokenId], Meta(max_length=1000)]
Priority = Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Deadline = Annotated[float, Meta(gt=0, le=1e6)]


class StreamOptions(Struct, frozen=True, kw_only=True):
    include_usage: bool = False


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both OpenAI bodies share. `adapter`, `adapters`, `deadline_s` are additions,
    and `top_k`, `ignore_eos`, `stop_token_ids`, `priority`, spelled as in vLLM."""

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    n: Copies | None = None
    stop: StopString | StopStrings | None = None
    stop_token_ids: TokenIds | None = None
    ignore_eos: bool = False
    seed: Seed | None = None
    priority: Priority | None = None  # lower is served earlier
    deadline_s: Deadline | None = None  # for the first token
    stream: bool = False
    stream_options: StreamOptions | None = None
    # Without effect on the answer
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    # Not supported; see _NEUTRAL
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class Completion(_Body, frozen=True, kw_only=True):
    prompt: str | list[str | TokenId | list[TokenId]]
    echo: bool | None = None
    logprobs: int | None = None
    best_of: int | None = None
    suffix: str | None = None


class Part(Struct, frozen=True, kw_only=True):
    type: str
    text: str | None = None


class Message(Struct, frozen=True, kw_only=True):
    role: Annotated[str, Meta(min_length=1)]
    content: str | list[Part] | None = None


class Chat(_Body, frozen=True, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None


_NEUTRAL: dict[str, tuple[object, ...]] = {
    "frequency_penalty": (0.0,),
    "presence_penalty": (0.0,),
    "logit_bias": ({},),
    "echo": (False,),
    "logprobs": (False,),
    "best_of": (1,),
    "suffix": ("",),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "reasoning_effort": ("none",),
}


def refuse_unsupported(body: Completion | Chat) -> None:
    """Raises BadRequest for a field whose value could not be honoured."""
    for field, neutral in _NEUTRAL.items():
        value = getattr(body, field, None)
        # Types count: False equals 0, but logprobs=0 asks for log-probabilities.
        if value is not None and (type(value), value) not in [
            (type(n), n) for n in neutral
        ]:
            raise BadRequest(f"`{field}` is not supported", field)


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """DJL's generation parameters; defaults as its documentation says."""

    max_new_tokens: MaxTokens | None = None
    do_sample: bool | None = None
    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_p: TopP | None = None
    seed: Seed | None = None
    stop_sequences: StopStrings | None = None
    stop: StopStrings | None = None
    ignore_eos_token: bool = False
    priority: Priority | None = None
    deadline_s: Deadline | None = None
    details: bool = False
    return_full_text: bool = False


class Invocation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    adapters: str | list[str | None] | None = None
    adapter: str | None = None
    model: str | None = None
    parameters: Parameters = Parameters()
    stream: bool = False


class Names(Struct, frozen=True, kw_only=True):
    """Of any body, what may name an adapter."""

    adapters: str | list[str | None] | None = None
    adapter: str | None = None
    model: str | None = None


def decode(body: bytes, kind: type[_T], values: int = MOST_VALUES) -> _T:
    """A body as `kind`, strictly. Raises BadRequest with the name of the field.

    With more than `values` commas it is refused unread: a value costs up to a
    microsecond, for which everybody waits.
    """
    if not body:
        raise BadRequest("the body is empty")
    if body.count(b",") > values:
        raise BadRequest(f"the body has more than {values} values")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def convert(value: dict[str, Any], kind: type[_T]) -> _T:
    """As `decode`, from what is decoded already."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _named(error) from None


def _named(error: msgspec.ValidationError) -> BadRequest:
    text = str(error)
    path, named = _PATH.search(text), _NAMED.search(text)
    if path and path[2]:
        return BadRequest(f"`{path[1]}`: {text[: path.start()]}", path[2])
    # At the top, a field unknown or missing is named in the text alone.
    return BadRequest(text, named[1] if named else None)
