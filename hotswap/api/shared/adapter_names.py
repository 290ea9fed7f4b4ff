"""Adapter names: what a name in a request stands for: an adapter, an alias, a sum.

Of what the request's key may not ask for nobody is told that it is there.
"""

from hotswap.adapters.composition import is_written_as_sum, resolved
from hotswap.api.shared.asking_key import may_ask
from hotswap.api.shared.djl_errors import UnknownEndpoint
from hotswap.api.shared.http_errors import KeyForbids
from hotswap.api.shared.server_state import ServerState
from hotswap.errors import BadSum, UnknownAdapter, UnknownModel


def meant(server: ServerState, name: str, field: str) -> str:
    """The adapter's own name, or the canonical form of a sum of adapters. A real
    adapter's name goes before, also if it reads as a sum.

    `field` said it. Raises BadSum; UnknownAdapter or UnknownModel for a sum with the
    bare model, and for what the request's key may not ask for; KeyForbids for the bare
    model, which every server has.
    """
    try:
        if not may_ask(server, name):
            if not name:
                raise KeyForbids("the key may not ask the bare model: name an adapter")
            raise UnknownAdapter(name)
        return _own_name(server, name)
    except (BadSum, UnknownAdapter) as error:
        error.field = field
        if isinstance(error, UnknownAdapter) and field == "model":
            raise UnknownModel(error.adapter, error.reason) from None
        raise


def of_endpoint(server: ServerState, endpoint: str) -> str:
    """The adapter that an endpoint stands for. Raises UnknownEndpoint."""
    adapter = server.endpoints.adapter(endpoint)
    if not may_ask(server, adapter):
        raise UnknownEndpoint(endpoint)
    return adapter


def _own_name(server: ServerState, name: str) -> str:
    library = server.library
    name = library.aliases.get(name, name)
    if not is_written_as_sum(name) or server.engine.status.adapter(name) is not None:
        return name
    return resolved(name, library.aliases, library.sums)
