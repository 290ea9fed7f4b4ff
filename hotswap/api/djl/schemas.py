"""DJL Serving's body: inputs, and the parameters of their answers."""

from dataclasses import replace
from typing import ClassVar

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.sampling_fields import SamplingFields
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams
from hotswap.sampling_ranges import MaxTokens, StopStrings


class Parameters(SamplingFields, frozen=True, kw_only=True):
    """DJL's sampling parameters; defaults as its documentation says."""

    defaults = SamplingParams(max_tokens=30, temperature=0.0, logprobs=0)
    foreign = unsupported_fields.PARAMETERS

    max_new_tokens: MaxTokens | None = None
    do_sample: bool | None = None
    stop_sequences: StopStrings | None = None
    stop: StopStrings | None = None
    ignore_eos_token: bool = False
    details: bool = False
    return_full_text: bool = False

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
            ignore_eos=self.ignore_eos_token,
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
