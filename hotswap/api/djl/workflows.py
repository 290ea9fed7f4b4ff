"""DJL Serving's adapter workflows, as endpoints: one name under /predictions for each.

Of the workflow language one sentence is understood, `["adapter", NAME, "in"]`. The
adapter is registered with the endpoint and goes with the last one that stands for it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from litestar import Request, Response, delete, get, post
from litestar.params import FromPath
from msgspec.structs import replace

from hotswap.adapters.adapter_info import AdapterState
from hotswap.adapters.origin import Origin
from hotswap.api.djl.models import model_row
from hotswap.api.djl.shape import (
    boolean,
    page,
    parameters,
    reply,
    required,
    status_reply,
)
from hotswap.api.shared import registration
from hotswap.api.shared.djl_errors import IllegalArgument
from hotswap.api.shared.endpoints import Endpoint
from hotswap.api.shared.schemas import Fields, decode
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.errors import (
    AdapterExists,
    BadRequest,
    NotFound,
    NotKept,
    UnknownAdapter,
)
from hotswap.library.adapter_sources import check_name
from hotswap.library.orders import Registration

_TEMPLATE = "adapter"
_WORDS = {"name": "adapter", "src": "url"}  # of a template
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Adapter(Fields, frozen=True, kw_only=True):
    model: str
    src: str
    name: str | None = None
    options: dict[str, str] | None = None


class Configs(Fields, frozen=True, kw_only=True):
    adapters: dict[str, Adapter]


class Definition(Fields, frozen=True, kw_only=True):
    """A workflow.json with one adapter."""

    name: str
    models: dict[str, str]
    configs: Configs
    workflow: dict[str, tuple[str, str, str]]
    version: str | None = None


@dataclass(frozen=True, slots=True)
class _Workflow:
    """What was asked for, in either form."""

    name: str
    endpoint: Endpoint
    registration: Registration | None  # None: the adapter is there


@get("/workflows")
async def workflows(request: Request, server: Injected) -> Response:
    """All endpoints, by name."""
    rows = [
        {"workflowName": name, **_version(endpoint)}
        for name, endpoint in sorted(server.endpoints.by_name.items())
    ]
    shown, token = page(request, rows)
    return reply({**token, "workflows": shown})


@get("/workflows/{name:str}")
async def workflow(server: Injected, name: FromPath[str]) -> Response:
    """What an endpoint stands for."""
    adapter = server.endpoints.adapter(name)
    about = {"workflowName": name, "adapter": adapter}
    about |= _version(server.endpoints.by_name[name])
    return reply([{**about, "models": [model_row(server)]}])


@post("/workflows", status_code=200)
async def create(request: Request, server: Injected) -> Response:
    """From a template (`template`, `adapter`, `url`, `model`), or from a definition."""
    registration.check_enabled(server)
    given = parameters(request)
    if "template" in given:
        made = _from_template(server, given)
    elif await request.body():
        made = _from_definition(server, decode(await request.body(), Definition))
    elif "url" in given:
        raise BadRequest("a definition is not fetched: send it as the body", "url")
    else:
        raise BadRequest("Either parameter url or template is required.")
    with registration.in_words(_WORDS if "template" in given else {}):
        check_name(made.name)
        async with server.endpoints.changing, server.sharing.change():
            if made.name in server.names or made.name in server.endpoints.by_name:
                text = f'Workflow "{made.name}" is already registered.'
                raise IllegalArgument(text, "name")
            await _create(server, made)
    return status_reply(f'Workflow "{made.name}" registered.')


@delete("/workflows/{name:str}", status_code=200)
async def remove(server: Injected, name: FromPath[str]) -> Response:
    """Forget an endpoint; its adapter goes too if it came with one and was the last."""
    endpoints = server.endpoints
    async with endpoints.changing, server.sharing.change():
        gone = await _kept(endpoints.remove, name)
        last = all(e.adapter != gone.adapter for e in endpoints.by_name.values())
        if gone.owns_adapter and last:
            try:
                await registration.unregister(server, gone.adapter)
            except UnknownAdapter:
                pass  # somebody was faster
            except BaseException:
                await _kept(endpoints.put, name, gone)
                raise
    return status_reply(f'Model or workflow "{name}" unregistered')


def _version(endpoint: Endpoint) -> dict[str, str]:
    return {} if endpoint.version is None else {"version": endpoint.version}


async def _create(server: ServerState, made: _Workflow) -> None:
    """Register the adapter if it is not served yet, then note the endpoint."""
    adapter, order = made.endpoint.adapter, made.registration
    known = server.engine.status.adapter(adapter)
    is_served = known is not None and known.state is AdapterState.READY
    if known is None and order is None:
        raise NotFound(f"The adapter {adapter} was not found")
    brings = False
    if order is not None and known is not None and is_served:
        if order.origin.src not in (known.origin.src, server.source(known)):
            raise AdapterExists(adapter)
    elif order is not None:
        await registration.register(server, order)
        brings = True
    owns = brings or server.endpoints.is_owned(adapter)
    endpoint = replace(made.endpoint, owns_adapter=owns)
    try:
        await _kept(server.endpoints.put, made.name, endpoint)
    except NotKept:
        if brings:
            await registration.unregister(server, adapter)
        raise


def _from_template(server: ServerState, given: dict[str, list[str]]) -> _Workflow:
    template = given["template"][0]
    if template != _TEMPLATE:
        raise IllegalArgument(
            f"The workflow template {template} could not be found", "template"
        )
    adapter = required(given, "adapter")
    if "model" in given:
        _check_model(server, given["model"][0])
    order = None
    if "url" in given:
        order = Registration(name=adapter, origin=Origin(src=given["url"][0]))
    return _Workflow(adapter, Endpoint(adapter=adapter), order)


def _from_definition(server: ServerState, definition: Definition) -> _Workflow:
    adapters = definition.configs.adapters
    ref = next(iter(adapters), "")
    if len(adapters) != 1 or definition.workflow != {"out": ("adapter", ref, "in")}:
        raise BadRequest(
            '`workflow` must be {"out": ["adapter", NAME, "in"]} with the one adapter '
            "of `configs.adapters`",
            "workflow",
        )
    adapter = adapters[ref]
    if adapter.model not in definition.models:
        raise BadRequest(f"`models` has no {adapter.model}", "models")
    for url in definition.models.values():
        _check_model(server, url)
    options = adapter.options or {}
    order = Registration(
        name=adapter.name or ref,
        origin=Origin(
            src=adapter.src,
            preload=boolean(options.get("preload", "true")),
            pin=boolean(options.get("pin", "false")),
            options={k: v for k, v in options.items() if k not in ("preload", "pin")},
        ),
    )
    endpoint = Endpoint(adapter=order.name, version=definition.version)
    return _Workflow(definition.name, endpoint, order)


def _check_model(server: ServerState, url: str) -> None:
    """Raises BadRequest if a model's URL does not end in the name of the one served."""
    if url.partition("?")[0].rstrip("/").rpartition("/")[2] not in server.names:
        raise BadRequest(
            f"`{url}` is another model: this server has {server.base} alone", "model"
        )


async def _kept(change: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Do what writes the file, beside the event loop. Raises NotKept."""
    try:
        return await asyncio.to_thread(change, *args, **kwargs)
    except OSError as error:
        why = error.strerror or error
        raise NotKept(f"the endpoints cannot be noted: {why}") from None


ROUTES = [workflows, workflow, create, remove]
