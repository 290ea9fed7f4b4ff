"""DJL Serving's body: inputs, and the parameters of their answers."""

from dataclasses import replace
from typing import Annotated, ClassVar

from msgspec import Meta

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.sampling_fields import SamplingFields
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams
from hotswap.sampling_ranges import (
    BadWords,
    Copies,
    MaxTokens,
    MinTokens,
    StopStrings,
    TokenId,
    TopLogprobs,
)


class Parameters(SamplingFields, frozen=True, kw_only=True):
    """DJL's sampling parameters; defaults as its documentation says."""

    defaults = SamplingParams(max_tokens=30, temperature=0.0, logprobs=0)
    foreign = unsupported_fields.PARAMETERS

    max_new_tokens: MaxTokens | None = None
    do_sample: bool | None = None
    stop_sequences: StopStrings | None = None
    stop: StopStrings | None = None
    stop_token_ids: Annotated[list[TokenId], Meta(max_length=1000)] | None = None
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    ignore_eos_token: bool = False
    min_tokens: MinTokens = 0
    bad_words: BadWords | None = None
    truncate: Annotated[int, Meta(ge=1, le=1 << 31)] | None = None
    n: Copies | None = None
    best_of: Copies | None = None
    top_n_tokens: TopLogprobs | None = None
    logprobs: TopLogprobs | None = None  # the same by vLLM's name
    decoder_input_details: bool = False
    details: bool = False
    return_full_text: bool = False

    @property
    def copies(self) -> int:
        """Jobs for each input."""
        return self.best_of or self.n or 1

    @property
    def told(self) -> int:
        """Answers of each input that are told, the best first."""
        return self.n or self.copies

    @property
    def top(self) -> int:
        """Likeliest tokens that are told at each place."""
        return max(self.top_n_tokens or 0, self.logprobs or 0)

    def to_params(self, sidecar: Sidecar) -> SamplingParams:
        is_silent = self.stop_sequences is None and self.stop is None
        stop = (*(self.stop_sequences or ()), *(self.stop or ()))
        defaults = self.defaults
        if self.do_sample:
            defaults = replace(defaults, temperature=1.0)
        params = self.filled(
            defaults,
            sidecar,
            max_tokens=self.max_new_tokens,
            stop=None if is_silent else stop,
            stop_tokens=frozenset(self.stop_token_ids or ()),
            includes_stop=self.include_stop_str_in_output,
            skips_special=self.skip_special_tokens,
            ignore_eos=self.ignore_eos_token,
            min_tokens=self.min_tokens,
            logprobs=self.top,
            prompt_logprobs=0 if self.decoder_input_details else None,
        )
        # DJL samples only if asked to, by do_sample or by a temperature.
        return replace(params, temperature=0.0) if self.do_sample is False else params


class Invocation(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.INVOCATION
    inner: ClassVar = {"parameters": Parameters}

    inputs: str | list[str]
    adapters: str | list[str | None] | None = None
    adapter: str | None = None
    model: str | None = None
    parameters: Parameters = Parameters()
    stream: bool = False
