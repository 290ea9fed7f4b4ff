"""App: the only file that knows everyone. Builds the parts, the lifespan, the errors.

Start: engine, watch. Stop, in this order: stop accepting and drain, stop the watch.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Request, Response, Router
from litestar.datastructures import MutableScopeHeaders
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import Message, Scope

from hotswap import __version__
from hotswap.adapters.store import Store
from hotswap.adapters.watch import Watch
from hotswap.api import djl, openai, operations
from hotswap.api.serving import Serving
from hotswap.config import Config
from hotswap.engine.engine import Engine
from hotswap.engine.letters import Adopt, Refuse, Retire
from hotswap.engine.text import Tokenizer
from hotswap.errors import (
    AdapterRefused,
    BadRequest,
    HotswapError,
    MergeFailed,
    Overloaded,
    PromptTooLong,
    StartFailed,
    StepFailed,
    Stopping,
    UnknownAdapter,
    UnknownModel,
)
from hotswap.model.calibrate import calibrate
from hotswap.model.load import load
from hotswap.model.runner import Runner
from scheduler import POLICIES, Scheduler

log = logging.getLogger(__name__)

# The one table of HTTP codes, and what DJL's routes answer differently.
STATUS: dict[type[HotswapError], int] = {
    BadRequest: 400,
    PromptTooLong: 400,
    UnknownModel: 404,
    UnknownAdapter: 404,
    AdapterRefused: 422,
    Overloaded: 429,
    StepFailed: 500,
    MergeFailed: 500,
    Stopping: 503,
}
DJL_STATUS = {**STATUS, UnknownAdapter: 424, UnknownModel: 424}

_WHOLE_BODY = re.compile(r"field `(\w+)`")

ErrorBody = Callable[[Exception, int, str], dict[str, Any]]


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    loaded = load(config.model.path, config.model.dtype, config.model.device)
    memory = config.memory
    budget = None if memory.budget_gb == "auto" else int(memory.budget_gb * 2**30)
    runner = Runner(
        loaded,
        slots=None if memory.slots == "auto" else memory.slots,
        kv_tokens=None if memory.kv_tokens == "auto" else memory.kv_tokens,
        budget_bytes=budget,
    )
    schedule = config.schedule
    scheduler = Scheduler(
        POLICIES[schedule.policy](),
        kv_tokens=runner.kv_tokens,
        max_batch=schedule.max_batch,
        max_waiting=schedule.max_waiting,
        prefill_tokens=schedule.prefill_tokens,
        max_wait_s=schedule.max_wait_s,
        costs=calibrate(runner, schedule.max_batch),
    )
    tokenizer = Tokenizer(loaded.tokenizer)
    engine = Engine(
        runner,
        scheduler,
        Store(),
        tokenizer,
        eos=loaded.eos,
        context=loaded.context,
    )
    serving = Serving(
        engine=engine,
        tokenizer=tokenizer,
        base=loaded.name,
        limit=min(loaded.context, runner.kv_tokens),
        started_at=int(time.time()),
        memory=runner.memory,
    )
    return routes(serving, _watch(config, engine, runner), config.server.drain_s)


def routes(serving: Serving, watch: Watch | None, drain_s: float) -> Litestar:
    """The HTTP application around an engine that is not started yet."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        serving.engine.start()
        if watch is not None:
            await asyncio.to_thread(watch.start)
        try:
            yield
        finally:
            await asyncio.to_thread(serving.engine.stop, drain_s)
            if watch is not None:
                await asyncio.to_thread(watch.stop)

    return Litestar(
        [
            Router("/", route_handlers=[*openai.ROUTES, *operations.ROUTES]),
            Router(
                "/",
                route_handlers=djl.ROUTES,
                exception_handlers=_handlers(DJL_STATUS, djl.error_body),
            ),
        ],
        dependencies={"serving": Provide(lambda: serving, sync_to_thread=False)},
        exception_handlers=_handlers(STATUS, openai.error_body),
        lifespan=[lifespan],
        before_send=[_name_request],
        logging_config=None,  # the command line configures logging
        openapi_config=OpenAPIConfig(title="hotswap", version=__version__),
    )


def _watch(config: Config, engine: Engine, runner: Runner) -> Watch | None:
    if not config.adapters.directory:
        return None
    directory = Path(config.adapters.directory)
    if not directory.is_dir():
        raise StartFailed(f"adapters directory {directory}: no such folder")
    return Watch(
        directory,
        runner.layout,
        quiet_s=config.adapters.quiet_s,
        adopt=lambda name, generation: engine.post(Adopt(name, generation)),
        refuse=lambda name, reason: engine.post(Refuse(name, reason)),
        retire=lambda name: engine.post(Retire(name)),
    )


def _handlers(
    table: dict[type[HotswapError], int], body: ErrorBody
) -> dict[int | type[Exception], Callable[[Request, Any], Response]]:
    def ours(_: Request, error: HotswapError) -> Response:
        status = table[type(error)]
        return _json(body(error, status, type(error).__name__), status)

    def theirs(_: Request, error: HTTPException) -> Response:
        """Litestar's own: no such route, a body that does not decode."""
        named = _field_error(error)
        kind = type(named).__name__
        response = _json(body(named, error.status_code, kind), error.status_code)
        response.headers.update(error.headers or {})
        return response

    def bug(request: Request, error: Exception) -> Response:
        log.exception("unexpected error path=%s", request.url.path, exc_info=error)
        hidden = HotswapError("internal error, see the server's log")
        return _json(body(hidden, 500, "InternalError"), 500)

    return {HotswapError: ours, HTTPException: theirs, Exception: bug}


def _field_error(error: HTTPException) -> BadRequest:
    """What a decoding error says of which field."""
    extra = error.extra
    if isinstance(extra, list) and extra and isinstance(extra[0], dict):
        field, message = extra[0].get("key"), extra[0].get("message", error.detail)
        whole = _WHOLE_BODY.search(message)
        if whole is not None:  # a field unknown or missing is named in the text alone
            return BadRequest(message, whole[1])
        if field not in (None, "data"):
            return BadRequest(f"`{field}`: {message}", field)
        return BadRequest(f"body: {message}")
    return BadRequest(error.detail)


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(body, status_code=status, media_type=MediaType.JSON)


async def _name_request(message: Message, scope: Scope) -> None:
    """Give every answer an x-request-id: the client's own, or a new one."""
    if message["type"] == "http.response.start":
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        headers = MutableScopeHeaders.from_message(message)
        headers["x-request-id"] = given or uuid.uuid4().hex
