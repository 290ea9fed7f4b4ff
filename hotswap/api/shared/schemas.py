"""Schemas: how any body of a request is read, strictly. Each family has its own.

Unknown fields are refused: a misspelled `adapter` must not be answered by the base
model. `null` is absent, for every field. `unsupported_fields` has those of our peers.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import msgspec
from msgspec import Struct

from hotswap.api.shared import unsupported_fields
from hotswap.errors import BadRequest

_T = TypeVar("_T")
MOST_VALUES = 1 << 16  # of a body, beside the tokens of a prompt
_PATH = re.compile(r" - at `\$\.?([^`]*)`")
_NAMED = re.compile(r"field `(\w+)`")


class Fields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any object of a body. `foreign`: what it may say besides (`unsupported_fields`).
    `inner`: its fields that hold such an object, or a list of them."""

    foreign: ClassVar[unsupported_fields.Neutral] = {}
    inner: ClassVar[Mapping[str, type["Fields"]]] = {}


class AdapterFields(Struct, frozen=True, kw_only=True):
    """Of any body, what may name an adapter."""

    adapters: str | list[str | None] | None = None
    adapter: str | None = None
    model: str | None = None


def decode(body: bytes, kind: type[_T], values: int = MOST_VALUES) -> _T:
    """A body as `kind`, strictly. Raises BadRequest with the name of the field.

    With more than `values` commas it is refused unread: a value costs up to a
    microsecond, for which everybody waits.
    """
    if not body:
        raise BadRequest("the body is empty")
    if body.count(b",") > values:
        raise BadRequest(f"the body has more than {values} values")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    return convert(value, kind)


def convert(value: object, kind: type[_T]) -> _T:
    """As `decode`, from what is decoded already."""
    if issubclass(kind, Fields):
        value = _own(value, kind)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _named(error) from None


def _own(value: object, kind: type[Fields], place: str = "") -> object:
    """`value` without what is null or neutral. Raises BadRequest for what is foreign
    and is not neutral."""
    if not isinstance(value, dict):
        return value  # msgspec says what is wrong with it
    own = {}
    for field, said in value.items():
        if field in kind.foreign:
            unsupported_fields.refuse(field, said, kind.foreign, place)
        elif said is None and field in kind.__struct_fields__:
            continue
        elif field not in kind.inner:
            own[field] = said
        elif isinstance(said, list):
            own[field] = [
                _own(each, kind.inner[field], f"{place}{field}[{index}].")
                for index, each in enumerate(said)
            ]
        else:
            own[field] = _own(said, kind.inner[field], f"{place}{field}.")
    return own


def _named(error: msgspec.ValidationError) -> BadRequest:
    """msgspec's error, with the place in the client's body as its field."""
    text = str(error)
    found, named = _PATH.search(text), _NAMED.search(text)
    place = found[1] if found else ""
    if found:
        text = f"`{place}`: {text[: found.start()]}"
    # A field that is unknown or missing is named in the text alone.
    inner = f"{place}.{named[1]}" if place and named else named[1] if named else place
    return BadRequest(text, inner or None)
