"""Application: every route, the errors in their shapes, how to start and to stop.

Start: engine, library, what is shared, watch. Stop, in this order: leave those that
share, drain and stop the engine, stop the watch, stop the library.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ExceptionHandlersMap

from hotswap.api import (
    admin,
    error_responses,
    events,
    models,
    operations,
    page_routes,
    tokenization,
    vllm,
)
from hotswap.api.cross_origin import PLAIN, CrossOrigin
from hotswap.api.djl import adapters as djl_adapters
from hotswap.api.djl import invocations, sagemaker, workflows
from hotswap.api.djl import models as djl_models
from hotswap.api.guard import Guard, follow
from hotswap.api.metrics import route as metrics
from hotswap.api.metrics.refusals import counted
from hotswap.api.middleware import Middleware
from hotswap.api.openai import chat, completions
from hotswap.api.openapi import page
from hotswap.api.request_bodies import BodyLimits
from hotswap.api.responses import route as responses
from hotswap.api.shared.request_record import Observer
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter
from hotswap.api.tgi import generation, info
from hotswap.errors import HotswapError
from hotswap.templates import RENDERER

PARTS = (
    completions,
    chat,
    responses,
    generation,
    info,
    invocations,
    sagemaker,
    djl_adapters,
    djl_models,
    workflows,
    vllm,
    tokenization,
    models,
    admin,
    events,
    operations,
    metrics,
    page_routes,
)
_ERRORS: ExceptionHandlersMap = {
    HTTPException: error_responses.router_error,
    Exception: error_responses.unexpected_error,
}


def application(
    state: ServerState,
    submitter: Submitter,
    drain_s: float,
    bodies: BodyLimits,
    *,
    pages: CrossOrigin = PLAIN,
    observers: Sequence[Observer] = (),
) -> Litestar:
    """The HTTP application around an engine that is not started yet. `observers`: are
    told of each request that generates.

    Its own state has `drain()`, which from any thread begins a shutdown that accepts
    nothing more and lets what was accepted finish within `drain_s`; `answers`, counted
    by code; `server`, what routes see; and `ended()`, the threads that do not run: none
    while the server is up, unless a bug has ended it.
    """
    guard = Guard(state.keys, metrics_need_no_key=state.metrics_need_no_key)
    made = _Msgspec(
        [*(route for part in PARTS for route in part.ROUTES), page.files()],
        dependencies={
            "server": Provide(lambda: state, sync_to_thread=False),
            "submitter": Provide(lambda: submitter, sync_to_thread=False),
        },
        exception_handlers={**_ERRORS, HotswapError: counted(state.refusals)},
        lifespan=[partial(_lifespan, state, submitter, drain_s, observers)],
        state=State(
            {
                "drain": lambda: state.engine.drain(drain_s),
                "ended": lambda: state.health.ended,
                "answers": state.answers,
                "server": state,
            }
        ),
        guards=[guard.admit],
        before_request=pages.admit,
        cors_config=pages.cors(),
        request_max_body_size=None,  # `request_bodies` bounds it
        logging_config=None,  # the command line configures logging
        openapi_config=page.config(has_keys=state.keys.is_locked),
    )
    # Around the routing, too: what no route matches is an answer like any other.
    made.asgi_handler = Middleware(made.asgi_handler, state.answers, bodies, observers)
    return made


@asynccontextmanager
async def _lifespan(
    state: ServerState,
    submitter: Submitter,
    drain_s: float,
    observers: Sequence[Observer],
    _: Litestar,
) -> AsyncIterator[None]:
    watch = state.watch
    state.engine.start()
    await asyncio.to_thread(state.library.start)
    await asyncio.to_thread(state.sharing.start)
    if watch is not None:
        await asyncio.to_thread(watch.start)
    keys = asyncio.create_task(follow(state.keys))
    try:
        yield
    finally:
        keys.cancel()
        await asyncio.to_thread(state.sharing.stop)
        await asyncio.to_thread(state.engine.stop, drain_s)
        if watch is not None:
            await asyncio.to_thread(watch.stop)
        await asyncio.to_thread(state.library.stop)
        state.hooks.close()
        submitter.close()
        await asyncio.to_thread(RENDERER.close)
        for observer in observers:
            await asyncio.to_thread(observer.close)


class _Msgspec(Litestar):
    """Litestar with bodies of msgspec alone. Of its own accord it imports pydantic and
    attrs wherever they are installed, for plugins that no route here has a use for: a
    third of what an application takes to make."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]
