"""Registration: adapters come, change and go, whatever shape asks for it.

An answer comes when the change is done and can be seen: the next request may use the
adapter, and `/v1/adapters` shows it. Where servers share adapters, on each of them.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hotswap.api.shared.selection import from_model
from hotswap.api.shared.server_state import ServerState
from hotswap.errors import BadRequest, ClientError
from hotswap.library.orders import Registration, Update
from scheduler import BASE


def check_enabled(server: ServerState) -> None:
    """Raises BadRequest if this server serves the bare model alone."""
    if not server.is_lora_enabled:
        raise BadRequest("LoRA is not enabled.")


@contextmanager
def in_words(words: Mapping[str, str]) -> Iterator[None]:
    """Errors raised inside name the client's fields: `words` has them by ours."""
    try:
        yield
    except ClientError as error:
        ours = error.field or ""
        if theirs := words.get(ours):
            error.field = theirs
            error.args = (str(error).replace(f"`{ours}`", f"`{theirs}`"),)
        raise


async def register(server: ServerState, order: Registration) -> str | None:
    """Serve a folder under a name; what a hook says of it, to be told. Raises what the
    library says; then nothing has changed."""
    name = order.name
    if name == BASE or name in server.names:
        raise BadRequest(f"the name `{name}` is the bare model's", "name")
    if (other := from_model(name, server.names)) != name:
        raise BadRequest(
            f"the name `{name}` asks for the adapter `{other}` of the bare model",
            "name",
        )
    async with server.sharing.change(name):
        registered = await asyncio.wrap_future(server.library.register(order))
        await asyncio.wrap_future(server.engine.sync())
    return registered.said


def warnings(server: ServerState, name: str) -> tuple[str, ...]:
    """What to know of an adapter that was registered just now."""
    row = server.engine.status.adapter(name)
    return row.generation_info.warnings if row is not None else ()


async def update(server: ServerState, order: Update) -> str | None:
    """Change what is given; what a hook says of it. Raises what the library says, with
    nothing changed."""
    async with server.sharing.change(order.name):
        said = await asyncio.wrap_future(server.library.update(order))
        await asyncio.wrap_future(server.engine.sync())
    return said


async def unregister(server: ServerState, name: str) -> str | None:
    """Forget a name; what a hook says of it. What runs finishes. Raises what the
    library says."""
    async with server.sharing.change(name):
        said = await asyncio.wrap_future(server.library.unregister(name))
        await asyncio.wrap_future(server.engine.sync())
    return said
