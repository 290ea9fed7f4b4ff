"""Request body: what a request says, and which adapter is to answer it."""

import asyncio
from typing import TypeVar

import msgspec
from litestar import Request

from hotswap.api.shared.adapter_names import meant, of_endpoint
from hotswap.api.shared.schemas import MOST_VALUES, AdapterFields, convert, decode
from hotswap.api.shared.selection import Named, Selection, fix, select
from hotswap.api.shared.server_state import ServerState
from hotswap.errors import BadRequest
from scheduler import BASE

_Body = TypeVar("_Body", bound=Named)


async def read_body(
    request: Request,
    server: ServerState,
    kind: type[_Body],
    endpoint: str | None = None,
) -> tuple[_Body, Selection]:
    """The request's body, and the adapter it names or its endpoint stands for.

    With a preprocessing hook the adapter is taken from the body as it came; what the
    hook makes of it is then read as strictly as any body. Raises BadRequest.
    """
    raw = await request.body()
    values = MOST_VALUES + server.engine.limit
    if not server.hooks.can_preprocess:
        body = decode(raw, kind, values)
        return body, selected(request, server, body, endpoint)
    named: Named = decode(raw, getattr(kind, "naming", AdapterFields), values)
    selection = selected(request, server, named, endpoint)
    if len(set(selection.adapters)) > 1:
        raise BadRequest(
            "`adapters` names several, but this server preprocesses bodies by "
            "adapter: send one request for each",
            selection.field,
        )
    adapter = selection.adapters[0]
    changed = await asyncio.to_thread(
        server.hooks.preprocess, adapter or BASE, msgspec.json.decode(raw)
    )
    return convert(changed, kind), Selection((adapter,), False, selection.field)


def selected(
    request: Request,
    server: ServerState,
    body: Named,
    endpoint: str | None = None,
) -> Selection:
    """As the request says it, with every alias made the name it stands for, and every
    sum of adapters its canonical form."""
    found = select(request, body, server.names)
    if endpoint is not None:
        adapter = of_endpoint(server, endpoint)
        if found.is_silent:
            return fix(found, adapter, endpoint)
    names = tuple(meant(server, name, found.field) for name in found.adapters)
    selection = Selection(names, found.is_list, found.field)
    return selection if endpoint is None else fix(selection, adapter, endpoint)
