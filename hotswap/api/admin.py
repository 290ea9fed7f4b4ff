"""Our own view of the adapters: what is known of each, sums, a check, pins."""

import asyncio
from typing import TypedDict

from litestar import Request, delete, get, post
from litestar.params import FromPath

from hotswap.adapters.adapter_info import AdapterInfo
from hotswap.adapters.origin import of_sum
from hotswap.adapters.report import Report, refused, served
from hotswap.api.shared import registration
from hotswap.api.shared.schemas import Fields, decode
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.errors import AdapterRefused
from hotswap.library.orders import Registration, Update


class AdapterRow(TypedDict):
    """Null is what is not known. Sizes in bytes; `merge_loss` from 0 to 1."""

    name: str
    state: str
    generation: str | None
    reason: str | None
    refusal: str | None
    format: str | None
    rank: int | None
    modules: int | None
    bytes: int | None
    can_merge: bool | None
    can_mix: bool | None
    merge_loss: float | None
    note: str | None
    warnings: tuple[str, ...]
    residency: str
    pinned: bool
    preload: bool
    alias: str | None
    aliases: list[str]
    composition: str | None
    source: str
    leases: int
    requests: int


class AdapterRows(TypedDict):
    data: list[AdapterRow]


class Validate(Fields, frozen=True, kw_only=True):
    src: str


class NamedSum(Fields, frozen=True, kw_only=True):
    name: str
    composition: str
    replace: bool = False


@get("/v1/adapters")
async def adapters(server: Injected) -> AdapterRows:
    """Every adapter known, by name, also those that are refused, with the reason."""
    return {"data": [about(server, row) for row in server.engine.status.adapters]}


@get("/v1/adapters/{name:str}")
async def adapter(server: Injected, name: FromPath[str]) -> AdapterRow:
    """One adapter."""
    return about(server, server.adapter(name))


@post("/v1/adapters", status_code=200)
async def name_sum(request: Request, server: Injected) -> AdapterRow:
    """Let a name stand for a sum of adapters."""
    registration.check_enabled(server)
    body = decode(await request.body(), NamedSum)
    origin = of_sum(body.composition)
    order = Registration(name=body.name, origin=origin, replace=body.replace)
    await registration.register(server, order)
    return about(server, server.adapter(body.name))


@delete("/v1/adapters/{name:str}", status_code=200)
async def unregister(server: Injected, name: FromPath[str]) -> dict[str, str]:
    """Forget an adapter; the requests that it answers now are answered to their end."""
    registration.check_enabled(server)
    await registration.unregister(server, name)
    return {"name": name, "state": "removed"}


@post("/v1/adapters/validate", status_code=200)
async def validate(request: Request, server: Injected) -> Report:
    """Check a folder as a registration would, without serving it.

    A folder that would be refused is an answer, too: `ok` is false.
    """
    registration.check_enabled(server)
    src = decode(await request.body(), Validate).src
    try:
        return served(await asyncio.wrap_future(server.library.examine(src)))
    except AdapterRefused as error:
        return refused(error)


@post("/v1/adapters/{name:str}/pin", status_code=200)
async def pin(server: Injected, name: FromPath[str]) -> AdapterRow:
    """Keep it in host memory whatever else is asked for."""
    return await _pinned(server, name, True)


@post("/v1/adapters/{name:str}/unpin", status_code=200)
async def unpin(server: Injected, name: FromPath[str]) -> AdapterRow:
    return await _pinned(server, name, False)


async def _pinned(server: ServerState, name: str, pinned: bool) -> AdapterRow:
    registration.check_enabled(server)
    await registration.update(server, Update(name=name, pin=pinned))
    return about(server, server.adapter(name))


def about(server: ServerState, row: AdapterInfo) -> AdapterRow:
    """All that may be known of one adapter."""
    info = row.generation_info
    return {
        "name": row.name,
        "state": row.state.value,
        "generation": info.generation,
        "reason": row.reason,
        "refusal": server.library.refusals.get(row.name) if row.reason else None,
        "format": info.format,
        "rank": info.rank,
        "modules": info.modules,
        "bytes": info.bytes,
        "can_merge": info.can_merge,
        "can_mix": info.can_mix,
        "merge_loss": info.merge_loss,
        "note": info.note,
        "warnings": info.warnings,
        "residency": _residency(server, row),
        "pinned": row.origin.pin,
        "preload": row.origin.preload,
        "alias": row.origin.alias,
        "aliases": list(server.sidecar(row.name).aliases),
        "source": server.source(row),
        "composition": row.origin.composition,
        "leases": row.leases,
        "requests": row.requests,
    }


def _residency(server: ServerState, row: AdapterInfo) -> str:
    """The tier nearest to the next token that holds it."""
    status = server.engine.status
    if row.generation == status.resident:
        return "resident"
    if row.generation in status.warm:
        return "slot"
    if row.generation in status.stacked:
        return "stack"
    return "host" if row.is_loaded else "disk"


ROUTES = [adapters, adapter, name_sum, unregister, validate, pin, unpin]
