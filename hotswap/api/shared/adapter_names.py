"""Adapter names: what a name in a request stands for: an adapter, an alias, a sum."""

from hotswap.adapters.composition import is_written_as_sum, resolved
from hotswap.api.shared.server_state import ServerState
from hotswap.errors import BadSum, UnknownAdapter, UnknownModel


def meant(server: ServerState, name: str, field: str) -> str:
    """The adapter's own name, or the canonical form of a sum of adapters. A real
    adapter's name goes before, also if it reads as a sum.

    `field` said it. Raises BadSum, and UnknownAdapter or UnknownModel for a sum with
    the bare model.
    """
    library = server.library
    name = library.aliases.get(name, name)
    if not is_written_as_sum(name) or server.engine.status.adapter(name) is not None:
        return name
    try:
        return resolved(name, library.aliases, library.sums)
    except (BadSum, UnknownAdapter) as error:
        error.field = field
        if isinstance(error, UnknownAdapter) and field == "model":
            raise UnknownModel(error.adapter, error.reason) from None
        raise
