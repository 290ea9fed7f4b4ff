"""TGI's body, with what LoRAX adds: inputs, and the parameters of their answer."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct, field

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.sampling_fields import SamplingFields
from hotswap.api.shared.schemas import Fields
from hotswap.api.tgi.grammar_fields import AnswerFormat, Grammar
from hotswap.api.tgi.merged_adapters import MergedAdapters
from hotswap.errors import BadRequest
from hotswap.sampling_params import SamplingParams
from hotswap.sampling_ranges import Copies, MaxTokens, StopStrings, TopLogprobs

_PLACE = "parameters"


class Naming(Struct, frozen=True, kw_only=True):
    """Of parameters, what may name an adapter."""

    adapter_id: str | None = None
    merged_adapters: MergedAdapters | None = None


class GenerateParameters(SamplingFields, frozen=True, kw_only=True):
    """TGI's and LoRAX' parameters; greedy unless sampling is asked for. `api_token` is
    for a hub, from which no adapter is taken here."""

    defaults = SamplingParams(temperature=0.0, includes_stop=True)
    foreign = unsupported_fields.TGI_PARAMETERS
    inner: ClassVar = {
        "grammar": Grammar,
        "response_format": AnswerFormat,
        "merged_adapters": MergedAdapters,
    }

    adapter_id: str | None = None
    adapter_source: Literal["", "local"] | None = None
    merged_adapters: MergedAdapters | None = None
    best_of: Copies | None = None
    do_sample: bool = False
    max_new_tokens: MaxTokens | None = None
    return_full_text: bool = False
    stop: StopStrings | None = None
    ignore_eos_token: bool = False
    truncate: Annotated[int, Meta(ge=1, le=1 << 31)] | None = None
    details: bool = False
    decoder_input_details: bool = False
    top_n_tokens: TopLogprobs | None = None
    return_k_alternatives: TopLogprobs | None = None  # the same at LoRAX
    grammar: Grammar | None = None
    response_format: AnswerFormat | None = None  # LoRAX'

    @property
    def tells_details(self) -> bool:
        return self.details or self.decoder_input_details

    @property
    def copies(self) -> int:
        """Jobs for the prompt, of which the best is told."""
        return self.best_of or 1

    def spec(self) -> GrammarSpec | None:
        """Raises BadRequest for two."""
        if self.grammar is None:
            if self.response_format is None:
                return None
            return self.response_format.spec(f"{_PLACE}.response_format")
        if self.response_format is not None:
            raise BadRequest(
                "`parameters.grammar` and `response_format` exclude each other",
                f"{_PLACE}.grammar",
            )
        return self.grammar.spec(f"{_PLACE}.grammar")

    def to_params(self, sidecar: Sidecar, *, scores: bool) -> SamplingParams:
        """`scores`: whether somebody is told of single tokens.

        As TGI: whatever says how to sample asks for it. Its clients always say
        `do_sample: false` and `stop: []`, which therefore say nothing.
        """
        narrows = (self.top_p or 1.0) < 1 or (self.top_k or 0) > 0
        defaults = self.defaults
        if self.do_sample or narrows:
            defaults = replace(defaults, temperature=1.0)
        top = max(self.top_n_tokens or 0, self.return_k_alternatives or 0)
        return self.filled(
            defaults,
            sidecar,
            max_tokens=self.max_new_tokens,
            stop=tuple(self.stop or ()) or None,
            ignore_eos=self.ignore_eos_token,
            logprobs=top if scores else None,
            prompt_logprobs=0 if self.decoder_input_details else None,
        )


class _Names(Struct, frozen=True, kw_only=True):
    """Of a body of TGI's, what may name an adapter: `parameters.adapter_id`, or as in
    every body here."""

    adapters: str | list[str | None] | None = None
    plain: str | None = field(name="adapter", default=None)
    model: str | None = None

    def one_of(self, parameters: Naming | GenerateParameters) -> str | None:
        """The adapter. Raises BadRequest if two are named."""
        merged, inner = parameters.merged_adapters, parameters.adapter_id
        if merged is not None:
            place = f"{_PLACE}.merged_adapters"
            if inner is not None:
                raise BadRequest(
                    f"`{place}` and `adapter_id` exclude each other", place
                )
            inner = merged.name(place)
        if inner is None:
            return self.plain
        if (self.plain or self.adapters or inner) != inner:
            raise BadRequest(
                "the adapter is one in `parameters`, another beside them", "adapter"
            )
        return inner


class AdapterNames(_Names, frozen=True, kw_only=True):
    """What a hook's server reads first."""

    parameters: Naming = Naming()

    @property
    def adapter(self) -> str | None:
        return self.one_of(self.parameters)


class Generate(Fields, _Names, frozen=True, kw_only=True):
    """`stream`: at `/` only; the other routes stream always or never."""

    naming: ClassVar = AdapterNames
    foreign = unsupported_fields.INVOCATION
    inner: ClassVar = {"parameters": GenerateParameters}

    inputs: str
    parameters: GenerateParameters = GenerateParameters()
    add_special_tokens: bool = True
    stream: bool = False

    @property
    def adapter(self) -> str | None:
        """Raises BadRequest if two are named."""
        return self.one_of(self.parameters)
