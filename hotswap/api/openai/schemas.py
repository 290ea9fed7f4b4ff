"""OpenAI's bodies: what completions and chat share, and completions."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.openai import structured
from hotswap.api.openai.structured import StructuredFields
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.sampling_fields import (
    MaxTokens,
    StopString,
    StopStrings,
)
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams

TokenId = Annotated[int, Meta(ge=0)]


class StreamOptions(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.STREAM_OPTIONS

    include_usage: bool = False


class OpenAIBody(StructuredFields, frozen=True, kw_only=True):
    """What both bodies share. `adapter` and `adapters` are additions, and `top_k`,
    `ignore_eos`, `stop_token_ids`, spelled as in vLLM."""

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None  # the same by its newer name
    n: Annotated[int, Meta(ge=1, le=64)] | None = None
    stop: StopString | StopStrings | None = None
    stop_token_ids: Annotated[list[TokenId], Meta(max_length=1000)] | None = None
    ignore_eos: bool = False
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    def to_params(self, sidecar: Sidecar) -> SamplingParams:
        most, stop = self.max_completion_tokens, self.stop
        if isinstance(stop, str):
            stop = [stop]
        return self.filled(
            self.defaults,
            sidecar,
            max_tokens=self.max_tokens if most is None else most,
            stop=None if stop is None else tuple(stop),
            stop_tokens=frozenset(self.stop_token_ids or ()),
            ignore_eos=self.ignore_eos,
        )


class Completion(OpenAIBody, frozen=True, kw_only=True):
    defaults = SamplingParams(max_tokens=16)  # OpenAI's
    foreign = unsupported_fields.COMPLETION
    inner: ClassVar = {"stream_options": StreamOptions, **structured.INNER}

    prompt: str | list[str | TokenId | list[TokenId]]
