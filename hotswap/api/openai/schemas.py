"""OpenAI's bodies: what completions and chat share, and completions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, TypedDict

from msgspec import Meta

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.openai import structured
from hotswap.api.openai.structured import StructuredFields
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.schemas import Fields
from hotswap.errors import BadRequest
from hotswap.sampling_params import SamplingParams
from hotswap.sampling_ranges import (
    AllowedTokens,
    AnswerTokens,
    BadWords,
    Bias,
    CacheSalt,
    Copies,
    MinTokens,
    StopString,
    StopStrings,
    TokenId,
    TopLogprobs,
)

Side = Literal["left", "right"]


class StreamOptions(Fields, frozen=True, kw_only=True):
    """`continuous_usage_stats` is vLLM's."""

    foreign = unsupported_fields.STREAM_OPTIONS

    include_usage: bool = False
    continuous_usage_stats: bool = False


class PromptOptions(TypedDict):
    """How a body's prompts are to be encoded: keywords of `Prompt`."""

    truncate: int | None
    truncation_side: Side
    answer: int
    adds_special: bool | None


class OpenAIBody(StructuredFields, frozen=True, kw_only=True):
    """What both bodies share. `adapter` and `adapters` are additions; what OpenAI has
    not is spelled as in vLLM."""

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    max_tokens: AnswerTokens | None = None  # 0: a prompt is only scored
    max_completion_tokens: AnswerTokens | None = None  # by its newer name
    min_tokens: MinTokens = 0
    n: Copies | None = None
    stop: StopString | StopStrings | None = None
    stop_token_ids: Annotated[list[TokenId], Meta(max_length=1000)] | None = None
    ignore_eos: bool = False
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    logit_bias: Annotated[dict[str, Bias], Meta(max_length=1000)] | None = None
    allowed_token_ids: AllowedTokens | None = None
    bad_words: BadWords | None = None
    prompt_logprobs: TopLogprobs | None = None
    truncate_prompt_tokens: Annotated[int, Meta(ge=-1, le=1 << 31)] | None = None
    truncation_side: Side | None = None
    add_special_tokens: bool | None = None
    cache_salt: CacheSalt | None = None
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    @property
    def answer_field(self) -> str:
        """The one that bounds the answer."""
        is_newer = self.max_completion_tokens is not None
        return "max_completion_tokens" if is_newer else "max_tokens"

    @property
    def most_tokens(self) -> int | None:
        newer = self.max_completion_tokens
        return self.max_tokens if newer is None else newer

    @property
    def copies(self) -> int:
        """Jobs for each prompt."""
        return self.n or 1

    @property
    def top(self) -> int | None:
        """Likeliest tokens that are told with each of an answer; None: not even its
        own log-probability."""
        raise NotImplementedError

    @property
    def echoes(self) -> bool:
        return False

    def to_params(self, sidecar: Sidecar) -> SamplingParams:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        allowed = self.allowed_token_ids
        return self.filled(
            self.defaults,
            sidecar,
            max_tokens=self.most_tokens,
            min_tokens=self.min_tokens,
            stop=None if stop is None else tuple(stop),
            stop_tokens=frozenset(self.stop_token_ids or ()),
            ignore_eos=self.ignore_eos,
            includes_stop=self.include_stop_str_in_output,
            skips_special=self.skip_special_tokens,
            logit_bias=_by_token(self.logit_bias or {}),
            allowed_tokens=None if allowed is None else frozenset(allowed),
            logprobs=self.top,
            prompt_logprobs=self._prompt_top,
            cache_salt=self.cache_salt,
        )

    def prompt_options(self, sidecar: Sidecar) -> PromptOptions:
        most = self.to_params(sidecar).max_tokens
        return {
            "truncate": self.truncate_prompt_tokens,
            "truncation_side": self.truncation_side or "left",
            "answer": 1 if most is None else most,
            "adds_special": self.add_special_tokens,
        }

    @property
    def _prompt_top(self) -> int | None:
        """As many as either asks for: who tells them takes his part."""
        asked = [self.prompt_logprobs, self.top if self.echoes else None]
        return max((top for top in asked if top is not None), default=None)


class Completion(OpenAIBody, frozen=True, kw_only=True):
    defaults = SamplingParams(max_tokens=16)  # OpenAI's
    foreign = unsupported_fields.COMPLETION
    inner: ClassVar = {"stream_options": StreamOptions, **structured.INNER}

    prompt: str | list[str | TokenId | list[TokenId]]
    best_of: Copies | None = None
    echo: bool = False
    logprobs: TopLogprobs | None = None

    @property
    def copies(self) -> int:
        return self.best_of or self.n or 1

    @property
    def top(self) -> int | None:
        return self.logprobs

    @property
    def echoes(self) -> bool:
        return self.echo

    @property
    def chooses(self) -> bool:
        """Whether only the best answers of a prompt go out."""
        return self.copies > (self.n or 1)

    def to_params(self, sidecar: Sidecar) -> SamplingParams:
        params = super().to_params(sidecar)
        if self.chooses and params.logprobs is None:
            return replace(params, logprobs=0)
        return params


def _by_token(bias: Mapping[str, float]) -> tuple[tuple[int, float], ...]:
    """Raises BadRequest for a key that is no token's id."""
    found: dict[int, float] = {}
    for key, value in bias.items():
        if not (key.isascii() and key.isdigit() and len(key) < 19):
            raise BadRequest(f"`logit_bias`: {key!r} is no token id", "logit_bias")
        found[int(key)] = value
    return tuple(found.items())
