"""Wire: the bodies of requests, with their ranges. No decisions.

Unknown fields are refused: a misspelled `adapter` must not be answered by the base
model. `null` is absent, for every field. `neutral` has the fields of our peers.
"""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from hotswap.api import neutral
from hotswap.errors import BadRequest

_T = TypeVar("_T")
MOST_VALUES = 1 << 16  # of a body, beside the tokens of a prompt
_PATH = re.compile(r" - at `\$\.?([^`]*)`")
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


class Fields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any object of a body. `foreign`: what it may say besides, as `neutral` has it.
    `inner`: its fields that hold such an object, or a list of them."""

    foreign: ClassVar[neutral.Neutral] = {}
    inner: ClassVar[Mapping[str, type["Fields"]]] = {}


class StreamOptions(Fields, frozen=True, kw_only=True):
    foreign = neutral.STREAM_OPTIONS

    include_usage: bool = False


class _Body(Fields, frozen=True, kw_only=True):
    """What both OpenAI bodies share. `adapter`, `adapters`, `deadline_s` are additions,
    and `top_k`, `ignore_eos`, `stop_token_ids`, `priority`, spelled as in vLLM."""

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None  # the same by its newer name
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
    stream_options: StreamOptions = StreamOptions()


class Completion(_Body, frozen=True, kw_only=True):
    foreign = neutral.COMPLETION
    inner = {"stream_options": StreamOptions}

    prompt: str | list[str | TokenId | list[TokenId]]


class Part(Fields, frozen=True, kw_only=True):
    type: Literal["text"]
    text: str


class Message(Fields, frozen=True, kw_only=True):
    """OpenAI's roles `tool` and `function` need tools, which are not supported."""

    foreign = neutral.MESSAGE

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Meta(min_length=1)]


class Chat(_Body, frozen=True, kw_only=True):
    foreign = neutral.CHAT
    inner = {"stream_options": StreamOptions, "messages": Message}

    messages: Annotated[list[Message], Meta(min_length=1)]


class Parameters(Fields, frozen=True, kw_only=True):
    """DJL's generation parameters; defaults as its documentation says."""

    foreign = neutral.PARAMETERS

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


class Invocation(Fields, frozen=True, kw_only=True):
    foreign = neutral.INVOCATION
    inner = {"parameters": Parameters}

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
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    return convert(value, kind)


def convert(value: object, kind: type[_T]) -> _T:
    """As `decode`, from what is decoded already."""
    if issubclass(kind, Fields):
        value = _own(value, kind)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _named(error) from None


def _own(value: object, kind: type[Fields], place: str = "") -> object:
    """`value` without what is null or neutral. Raises BadRequest for what is foreign
    and is not neutral."""
    if not isinstance(value, dict):
        return value  # msgspec says what is wrong with it
    own = {}
    for field, said in value.items():
        if field in kind.foreign:
            neutral.refuse(field, said, kind.foreign, place)
        elif said is None and field in kind.__struct_fields__:
            continue
        elif field not in kind.inner:
            own[field] = said
        elif isinstance(said, list):
            own[field] = [
                _own(each, kind.inner[field], f"{place}{field}[{index}].")
                for index, each in enumerate(said)
            ]
        else:
            own[field] = _own(said, kind.inner[field], f"{place}{field}.")
    return own


def _named(error: msgspec.ValidationError) -> BadRequest:
    """msgspec's error, with the place in the client's body as its field."""
    text = str(error)
    found, named = _PATH.search(text), _NAMED.search(text)
    place = found[1] if found else ""
    if found:
        text = f"`{place}`: {text[: found.start()]}"
    # A field that is unknown or missing is named in the text alone.
    inner = f"{place}.{named[1]}" if place and named else named[1] if named else place
    return BadRequest(text, inner or None)
