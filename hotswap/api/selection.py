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
from scheduler import BASE

HEADER = "x-amzn-sagemaker-adapter-identifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the four forms say; None is absent."""

    header: str | None
    query: str | None
    adapters: str | Sequence[str | None] | None = None
    adapter: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """One adapter for all inputs, or one for each. "" is base."""

    adapters: tuple[str, ...]
    is_list: bool
    field: str  # what said so

    def for_inputs(self, inputs: int) -> list[str]:
        """The adapter of each input. Raises BadRequest for a list of another length."""
        if not self.is_list:
            return list(self.adapters) * inputs
        if len(self.adapters) != inputs:
            raise BadRequest(
                f"`adapters` names {len(self.adapters)} adapters for {inputs} inputs: "
                "give one for each, or one string for all",
                "adapters",
            )
        return list(self.adapters)


def select(named: Named, base: str) -> Selection:
    """The form that counts. "" and None in it are the bare model."""
    for field, value in (
        ("adapter", named.header),
        ("adapter", named.query),
        ("adapters", named.adapters),
        ("adapter", named.adapter),
    ):
        if value is None or value == []:
            continue
        if isinstance(value, str):
            return Selection((_plain(value),), False, field)
        return Selection(tuple(_plain(one or "") for one in value), True, field)
    return Selection((_plain(_from_model(named.model, base)),), False, "model")


def fix(selection: Selection, adapter: str, endpoint: str) -> Selection:
    """The selection of an endpoint that stands for one adapter.

    Raises BadRequest if the request names another: it would not be answered by it.
    """
    is_silent = selection.field == "model" and selection.adapters == ("",)
    if not is_silent and set(selection.adapters) != {adapter}:
        raise BadRequest(
            f"the endpoint `{endpoint}` is the adapter `{adapter}`: no other may be "
            "named in a request to it",
            selection.field,
        )
    return Selection((adapter,), False, "adapter")


def _from_model(model: str | None, base: str) -> str:
    if model is None or model == base:
        return ""
    return model.removeprefix(f"{base}:")


def _plain(name: str) -> str:
    return "" if name == BASE else name
