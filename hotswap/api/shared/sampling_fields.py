"""Sampling fields: what a body of every family says of generating, in one spelling.

A family adds its own fields, and makes of all of them a `SamplingParams`: what the
request says; else what its adapter's sidecar says; else what the family does.
"""

from dataclasses import fields, replace
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams

MaxTokens = Annotated[int, Meta(ge=1, le=1 << 24)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
StopStrings = Annotated[list[StopString], Meta(max_length=16)]

# A sidecar's field of the same name is a parameter's default.
_OF_SIDECAR = {field.name for field in fields(SamplingParams)} & {
    *Sidecar.__struct_fields__
}


class SamplingFields(Fields, frozen=True, kw_only=True):
    """None is silence. `defaults`: what the family does where nobody says anything.
    `priority` and `deadline_s` are additions of ours."""

    defaults: ClassVar[SamplingParams]

    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=1 << 31)] | None = None
    seed: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    # Lower is served earlier.
    priority: Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)] | None = None
    deadline_s: Annotated[float, Meta(gt=0, le=1e6)] | None = None  # for a first token

    def filled(
        self, defaults: SamplingParams, sidecar: Sidecar, **own: object
    ) -> SamplingParams:
        """The parameters; `own` is what this family spells in its own way."""
        alike = SamplingFields.__struct_fields__
        folder = {name: getattr(sidecar, name) for name in _OF_SIDECAR}
        request = {name: getattr(self, name) for name in alike} | own
        told: dict[str, Any] = {}
        for values in (folder, request):
            told |= {name: each for name, each in values.items() if each is not None}
        return replace(defaults, **told)
