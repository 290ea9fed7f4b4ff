"""Asking key: the key that a request has shown, and which adapters it may ask for.

A key that is limited to adapters sees the server as if there were no others: what it
may not ask for is unknown to it, in answers and in lists, by every name it has.
"""

from contextvars import ContextVar

from hotswap.adapters.composition import is_written_as_sum, parse
from hotswap.api.shared.request_context import key_name
from hotswap.api.shared.server_state import ServerState
from hotswap.keys.access_key import Key
from scheduler import BASE

# None: the server has no keys, or anybody may ask the route.
asking: ContextVar[Key | None] = ContextVar("asking_key", default=None)


def note(key: Key | None) -> None:
    """Who asks, for whatever runs on this task from now on. None at the beginning of
    each request: where one is sent behind another, uvicorn begins it on the task of the
    one before, which has its own key noted."""
    asking.set(key)
    key_name.set(key.name if key else None)


def may_ask(server: ServerState, name: str) -> bool:
    """Whether the request's key may ask for what `name` stands for: an adapter's own
    name, an alias, a sum of adapters each of which it may ask for; "" is the bare
    model. What does not exist may be asked for if the key says so.

    Raises BadSum and UnknownAdapter for what reads as a sum and is none.
    """
    key = asking.get()
    if key is None or key.adapters is None:
        return True
    allowed = {BASE if one in server.names else one for one in key.adapters}
    aliases = server.library.aliases
    own = aliases.get(name, name) or BASE
    if own in allowed or not is_written_as_sum(own):
        return own in allowed
    row = server.engine.status.adapter(own)
    if row is not None and not row.is_nameless:
        return False  # an adapter of that very name
    return all(aliases.get(part, part) in allowed for part, _ in parse(own).parts)


def may_see_all(server: ServerState) -> bool:
    """Whether the request may be told what only an admin key is told."""
    key = asking.get()
    return not server.keys.is_locked or (key is not None and key.admin)
