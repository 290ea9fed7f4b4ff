"""Selection: which adapter a request names. The first form that is present wins.

    1. header X-Amzn-SageMaker-Adapter-Identifier
    2. query  ?adapter=
    3. body   adapters (one for each input, or one string), or adapter
    4. body   model (NAME, or BASE:NAME)

"" and `base` name the bare model. Whether the name exists is the engine's to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hotswap.errors import BadRequest

HEADER = "x-amzn-sagemaker-adapter-identifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the four forms say; None is absent."""

    header: str | None
    query: str | None
    adapters: str | Sequence[str | None] | None = None
    adapter: str | None = None
    model: str | None = None


def select(named: Named, base: str, inputs: int) -> tuple[list[str], str]:
    """The adapter of each input ("" is base), and the field that said so.

    Raises BadRequest for a list of another length than the inputs.
    """
    for field, value in (
        ("adapter", named.header),
        ("adapter", named.query),
        ("adapters", named.adapters),
        ("adapter", named.adapter),
    ):
        if value is None or value == []:
            continue
        if isinstance(value, str):
            return [value] * inputs, field
        if len(value) != inputs:
            raise BadRequest(
                f"`adapters` names {len(value)} adapters for {inputs} inputs: give one "
                "for each, or one string for all",
                "adapters",
            )
        return [one or "" for one in value], field
    return [_from_model(named.model, base)] * inputs, "model"


def _from_model(model: str | None, base: str) -> str:
    if model is None or model == base:
        return ""
    return model.removeprefix(f"{base}:")
