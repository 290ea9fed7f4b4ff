"""Named sums: sums of adapters with a name of their own; and how one is made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hotswap.adapters.composition import is_written_as_sum, parse, resolved
from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import NOTHING
from hotswap.engine.sums import SumOrder
from hotswap.error_boundary import error_boundary
from hotswap.errors import (
    BadRequest,
    ClientError,
    HotswapError,
    InternalError,
    UnknownAdapter,
)
from hotswap.library.entries import Entries
from hotswap.library.folder_reader import Read
from hotswap.library.transaction import Transaction


def checked(name: str, origin: Origin, entries: Entries) -> Origin:
    """`origin` with the sum of adapters in its place that a client wants to name.

    A part that is a named sum itself is made its parts, once and for all: so no sum
    contains itself. Raises BadRequest, BadSum, and UnknownAdapter for a part.
    """
    if is_written_as_sum(name):
        raise BadRequest("the `name` of a sum may have no `*` and no `+`", "name")
    assert origin.composition is not None
    try:
        composition = resolved(origin.composition, entries.aliases, entries.sums)
        for part, _ in parse(composition).parts:
            if part == name:
                raise BadRequest(f"`{name}` would be a sum of itself")
            if entries.get(part) is None:
                raise UnknownAdapter(part)
    except ClientError as error:
        error.field = "composition"
        raise
    return replace(origin, src=composition, composition=composition, preload=False)


def composed(
    compose: Callable[[SumOrder], Generation], order: SumOrder, entries: Entries
) -> Transaction[None]:
    """Make a sum as a folder is read, beside the library's thread, and tell of it."""

    def work() -> Read:
        with error_boundary(InternalError):
            return Read(Path(), NOTHING, compose(order))

    try:
        read = yield work
    except HotswapError as error:
        entries.composed(order, error)
    else:
        assert read.generation is not None
        entries.composed(order, read.generation)
