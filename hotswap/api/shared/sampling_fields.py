"""Sampling fields: what a body of every family says of generating, in one spelling.

A family adds its own fields, and makes of all of them a `SamplingParams`: what the
request says; else what its adapter's sidecar says; else what the family does.
"""

from dataclasses import fields, replace
from typing import Any, ClassVar

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams
from hotswap.sampling_ranges import (
    Deadline,
    MinP,
    Penalty,
    Priority,
    RepetitionPenalty,
    Seed,
    Temperature,
    TopK,
    TopP,
)

# A sidecar's field of the same name is a parameter's default.
_OF_SIDECAR = {field.name for field in fields(SamplingParams)} & {
    *Sidecar.__struct_fields__
}


class SamplingFields(Fields, frozen=True, kw_only=True):
    """None is silence. `defaults`: what the family does where nobody says anything.
    `priority` and `deadline_s` are additions of ours."""

    defaults: ClassVar[SamplingParams]

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    seed: Seed | None = None
    priority: Priority | None = None  # lower is served earlier
    deadline_s: Deadline | None = None  # for a first token

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
