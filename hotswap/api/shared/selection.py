"""Selection: which adapter a request names. The first form that is present wins.

    1. header X-Amzn-SageMaker-Adapter-Identifier
    2. header X-Amzn-SageMaker-Inference-Component (NAME, or a name of the base model)
    3. header X-Amzn-SageMaker-Target-Model (as `model`; also NAME.tar.gz); one of the
       base model leaves the adapter to the others
    4. query  ?adapter=
    5. body   adapters (one for each input, or one string), or adapter
    6. body   model (NAME, or BASE:NAME)

"" and `base` name the bare model. Whether the name exists is the engine's to say.
A header or query parameter that speaks of an adapter in another form is refused: the
base model must not answer in its place. `unsupported_fields` does the same for bodies.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from litestar import Request

from hotswap.errors import BadRequest, UnknownModel
from scheduler import BASE

HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
COMPONENT = "X-Amzn-SageMaker-Inference-Component"
TARGET = "X-Amzn-SageMaker-Target-Model"
# What people see of an adapter; it says which only together with HEADER.
ALIAS = "X-Amzn-SageMaker-Adapter-Alias"
# `NAME=VALUE;NAME=VALUE`, which DJL takes for headers; anything else is opaque.
_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_ARCHIVE = ".tar.gz"  # of which SageMaker's multi-model endpoints have one for a model

_SPEAKS = re.compile(r"(?<![a-z])(adapters?|lora)(?![a-z])")
_MODEL = "model_name"  # DJL's, in the query or a header: of the base model


class Named(Protocol):
    """Of a body, what may name an adapter; None is absent."""

    @property
    def adapters(self) -> str | Sequence[str | None] | None: ...
    @property
    def adapter(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """One adapter for all inputs, or one for each. "" is base."""

    adapters: tuple[str, ...]
    is_list: bool
    field: str  # what said so

    @property
    def is_silent(self) -> bool:
        """Whether the request names no adapter."""
        return self.field == "model" and self.adapters == ("",)

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


def select(request: Request, body: Named, bases: Sequence[str]) -> Selection:
    """The form that counts; `bases` are the names of the base model.

    Raises BadRequest or UnknownModel for a form that cannot be honoured.
    """
    query = _query(request, bases)
    header, component, target = _headers(request, bases)
    for field, value in (
        (HEADER, header),
        (COMPONENT, component),
        (TARGET, target or None),  # of the bare model it says nothing: DJL's page
        ("adapter", query),
        ("adapters", body.adapters),
        ("adapter", body.adapter),
    ):
        if value is None or value == []:
            continue
        if isinstance(value, str):
            return Selection((_plain(value),), False, field)
        return Selection(tuple(_plain(one or "") for one in value), True, field)
    return Selection((_plain(from_model(body.model, bases)),), False, "model")


def from_model(model: str | None, bases: Sequence[str]) -> str:
    """The adapter that `model` says, as NAME or BASE:NAME; "" is base."""
    if not model or model in bases:
        return ""
    for base in sorted(bases, key=len, reverse=True):
        if (name := model.removeprefix(f"{base}:")) not in ("", model):
            return name
    return model


def fix(selection: Selection, adapter: str, endpoint: str) -> Selection:
    """The selection of an endpoint that stands for one adapter.

    Raises BadRequest if the request names another: it would not be answered by it.
    """
    if not selection.is_silent and set(selection.adapters) != {adapter}:
        raise BadRequest(
            f"the endpoint `{endpoint}` is the adapter `{adapter}`: no other may be "
            "named in a request to it",
            selection.field,
        )
    return Selection((adapter,), False, "adapter")


def _query(request: Request, bases: Sequence[str]) -> str | None:
    """`?adapter=`. No other parameter has a meaning, and a misspelled one must not be
    answered by the base model."""
    for name, values in request.query_params.dict().items():
        if name not in ("adapter", _MODEL):
            raise BadRequest(
                f"the query parameter `{name}` is not known: an adapter is named by "
                "`?adapter=`",
                name,
            )
        if len(values) > 1:
            raise BadRequest(f"the query has `{name}` more than once", name)
    _check_model(request.query_params.get(_MODEL), bases)
    return request.query_params.get("adapter")


def _headers(request: Request, bases: Sequence[str]) -> tuple[str | None, ...]:
    """The values of the three that name an adapter, as of that name alone."""
    said: dict[str, str] = {}
    naming = {name.lower() for name in (HEADER, COMPONENT, TARGET, ALIAS, _MODEL)}
    for name, value in _pairs(request):
        if name in said:
            raise BadRequest(f"the header `{name}` comes more than once", name)
        if name in naming:
            said[name] = value
        elif _SPEAKS.search(name):
            raise _unknown_header(name)
    if ALIAS.lower() in said and HEADER.lower() not in said:
        raise _unknown_header(ALIAS.lower())
    _check_model(said.get(_MODEL), bases)
    component, target = said.get(COMPONENT.lower()), said.get(TARGET.lower())
    if target is not None:
        plain = target if target in bases else target.removesuffix(_ARCHIVE)
        target = from_model(plain, bases)
    return said.get(HEADER.lower()), "" if component in bases else component, target


def _pairs(request: Request) -> Iterator[tuple[str, str]]:
    """All headers, and the attributes that DJL takes for headers."""
    for name, value in request.headers.multi_items():
        yield name, value
        if name == _ATTRIBUTES.lower():
            for attribute in value.split(";"):
                key, equals, said = attribute.partition("=")
                if equals:
                    yield key.strip().lower(), said.strip()


def _unknown_header(name: str) -> BadRequest:
    return BadRequest(
        f"the header `{name}` is not how an adapter is named here: say `{HEADER}`", name
    )


def _check_model(name: str | None, bases: Sequence[str]) -> None:
    if name is not None and name not in bases:
        raise UnknownModel(name)


def _plain(name: str) -> str:
    return "" if name == BASE else name
