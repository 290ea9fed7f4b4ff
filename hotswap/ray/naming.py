"""Naming: what a request names, as far as that says where it goes best.

The same places in the same order as `api.shared.selection`, which alone decides what is
answered and what is refused: whatever is wrong here costs a swap, and no answer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from msgspec import Struct

from hotswap.api.shared.selection import COMPONENT, HEADER, TARGET, from_model
from scheduler import BASE

_HEADERS = [name.lower().encode() for name in (HEADER, COMPONENT, TARGET)]
_ENDPOINT = re.compile(r"/(?:predictions|endpoints|models)/([^/]+)(?:/invo.*)?")


class _Parameters(Struct):
    adapter_id: Any = None


class _Body(Struct):
    adapters: Any = None
    adapter: Any = None
    model: Any = None
    parameters: _Parameters | Any = None


_DECODER = msgspec.json.Decoder(_Body)


def named(scope: Mapping[str, Any], body: bytes) -> str:
    """What stands there, unresolved; "" if nothing does."""
    return next(filter(None, _names(scope, body)), "")


def _names(scope: Mapping[str, Any], body: bytes) -> Iterable[str]:
    headers = dict(scope["headers"])
    for name in _HEADERS:
        if name in headers:
            yield headers[name].decode("latin-1").removesuffix(".tar.gz")
    if query := scope.get("query_string"):
        yield from parse_qs(query.decode("latin-1")).get("adapter", ())
    try:
        said = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = _Body()
    parameters = said.parameters if isinstance(said.parameters, dict) else {}
    for value in (said.adapters, said.adapter, parameters.get("adapter_id")):
        yield _first(value)
    if endpoint := _ENDPOINT.fullmatch(scope["path"]):
        yield unquote(endpoint[1])
    yield _first(said.model)


def _first(value: Any) -> str:
    """Of a list, one for each input, the first that is named."""
    if isinstance(value, list):
        return next((one for one in value if isinstance(one, str) and one), "")
    return value if isinstance(value, str) else ""


def resolved(name: str, bases: Sequence[str], stands_for: Mapping[str, str]) -> str:
    """The adapter's own name, or that of the bare model. `stands_for`: aliases and
    endpoints, to adapters."""
    adapter = from_model(name, bases)
    return stands_for.get(adapter, adapter) or BASE
