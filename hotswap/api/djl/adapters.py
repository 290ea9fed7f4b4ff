"""DJL Serving's management of adapters, under /adapters and /models/{model}/adapters.

Everything is a query parameter; SageMaker's JSON body (`name`, `src`, `preload`, `pin`)
is read as well. Unlike DJL's, an answer means that the change is done, a duplicate
changes nothing, `preload=false` loads on first use, and pages have a stable order.
"""

from collections.abc import Awaitable
from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.exceptions import MethodNotAllowedException
from litestar.params import FromPath

from hotswap.adapters.adapter_info import AdapterInfo, AdapterState
from hotswap.adapters.origin import Origin
from hotswap.api.djl.shape import (
    boolean,
    check_model,
    page,
    parameters,
    reply,
    required,
    status_reply,
)
from hotswap.api.shared import registration
from hotswap.api.shared.schemas import Fields, decode
from hotswap.api.shared.selection import ALIAS
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    NotFound,
    UnknownAdapter,
)
from hotswap.library.orders import Registration, Update

_ALL = ["/adapters", "/models/{model:str}/adapters"]
_ONE = [f"{path}/{{name:str}}" for path in _ALL]
_BELOW = [f"{path}/{{rest:path}}" for path in _ONE]
_SETTINGS = ("name", "src", "preload", "pin")


class Body(Fields, frozen=True, kw_only=True):
    """SageMaker's form of a registration or an update."""

    name: str | None = None
    src: str | None = None
    preload: bool | None = None
    pin: bool | None = None


@get(_ALL)
async def list_adapters(request: Request, server: Injected) -> Response:
    """Those that are served, by name."""
    _admit(request, server)
    rows = [
        row
        for row in server.engine.status.adapters
        if row.state is AdapterState.READY and not row.is_nameless
    ]
    shown, token = page(request, rows)
    return reply({**token, "adapters": [_row(server, row) for row in shown]})


@post(_ALL, status_code=200)
async def register(request: Request, server: Injected) -> Response:
    _admit(request, server)
    given = await _given(request)
    order = Registration(
        name=required(given, "name"),
        origin=Origin(
            src=required(given, "src"),
            preload=boolean(given.get("preload", ["true"])[0]),
            pin=boolean(given.get("pin", ["false"])[0]),
            alias=request.headers.get(ALIAS),
            options=_options(given),
        ),
    )
    shown = order.origin.alias or order.name
    said = await _told(registration.register(server, order), shown)
    warnings = registration.warnings(server, order.name)
    return status_reply(said or f"Adapter {shown} registered", warnings=warnings)


@get([*_ONE, *_BELOW])
async def describe(request: Request, server: Injected, name: FromPath[str]) -> Response:
    _admit(request, server)
    row = server.engine.status.adapter(name)
    if row is None or row.state is not AdapterState.READY:
        raise NotFound(_not_found(request.headers.get(ALIAS) or name))
    return reply(_row(server, row))


@post(_BELOW, status_code=200)
async def update(
    request: Request, server: Injected, name: FromPath[str], rest: FromPath[str]
) -> Response:
    """Change what is given; what is not stays."""
    if rest.strip("/").lower() != "update":
        raise MethodNotAllowedException
    _admit(request, server)
    given = await _given(request)
    order = Update(
        name=name,
        src=given["src"][0] if "src" in given else None,
        preload=boolean(given["preload"][0]) if "preload" in given else None,
        pin=boolean(given["pin"][0]) if "pin" in given else None,
        alias=request.headers.get(ALIAS),
        options=_options(given),
    )
    shown = order.alias or _alias(server, name)
    said = await _told(registration.update(server, order), shown)
    return status_reply(said or f"Adapter {shown} updated")


@delete(_ONE, status_code=200)
async def unregister(
    request: Request, server: Injected, name: FromPath[str]
) -> Response:
    """Forget it; the requests that it answers now are answered to their end."""
    _admit(request, server)
    shown = request.headers.get(ALIAS) or _alias(server, name)
    said = await _told(registration.unregister(server, name), shown)
    return status_reply(said or f"Adapter {shown} unregistered")


def _admit(request: Request, server: ServerState) -> None:
    check_model(request, server.names)
    registration.check_enabled(server)


async def _given(request: Request) -> dict[str, list[str]]:
    """The query's parameters, and the body's if it is JSON. They may not disagree."""
    given = parameters(request)
    if "load" in given:  # DJL's older name of it
        load = given.pop("load")
        if boolean(given.setdefault("preload", load)[0]) != boolean(load[0]):
            raise BadRequest("`load` and `preload` are one, and disagree", "load")
    raw = await request.body()
    if not raw or request.content_type[0] != "application/json":
        return given
    body = decode(raw, Body)
    for field in _SETTINGS:
        value = getattr(body, field)
        if value is None:
            continue
        text = value if isinstance(value, str) else str(value).lower()
        if given.setdefault(field, [text])[0] != text:
            raise BadRequest(
                f"`{field}` is one in the query, another in the body", field
            )
    return given


def _options(given: dict[str, list[str]]) -> dict[str, str]:
    """What hooks are told besides: every other parameter that is given once."""
    return {
        key: values[0]
        for key, values in given.items()
        if key not in _SETTINGS and len(values) == 1
    }


def _alias(server: ServerState, name: str) -> str:
    """What people see: the alias it was registered with, or its name."""
    try:
        return server.adapter(name).origin.alias or name
    except UnknownAdapter:
        return name


def _row(server: ServerState, row: AdapterInfo) -> dict[str, Any]:
    return {
        "name": row.name,
        "src": server.source(row),
        "preload": row.origin.preload,
        "pin": row.origin.pin,
    }


async def _told(change: Awaitable[str | None], shown: str) -> str | None:
    """Await a change, and what a hook says of it; its errors in DJL's words, with the
    name that people see."""
    try:
        return await change
    except UnknownAdapter:
        raise NotFound(_not_found(shown)) from None
    except AdapterExists:
        raise AdapterExists(shown) from None
    except BadRequest as error:
        if error.field in ("pin", "src"):  # DJL's handler says these, not its server
            raise AdapterRefused("bad_setting", str(error)) from None
        raise


def _not_found(shown: str) -> str:
    return f"The adapter {shown} was not found"


ROUTES = [list_adapters, register, describe, update, unregister]
