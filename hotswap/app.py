"""App: the only file that knows everyone. Builds the parts, the lifespan, the errors.

Start: engine, watch. Stop, in this order: drain, stop the engine, stop the watch.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from litestar import Litestar, MediaType, Request, Response
from litestar.datastructures import MutableScopeHeaders, State
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
from hotswap.errand import errand
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
from hotswap.model.load import Loaded, load
from hotswap.model.runner import Runner
from scheduler import POLICIES, Costs, Scheduler

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


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    loaded, runner, costs = errand(lambda: _model(config))
    schedule = config.schedule
    scheduler = Scheduler(
        POLICIES[schedule.policy](),
        kv_tokens=runner.kv_tokens,
        max_batch=schedule.max_batch,
        max_waiting=schedule.max_waiting,
        prefill_tokens=schedule.prefill_tokens,
        max_wait_s=schedule.max_wait_s,
        switch_budget=schedule.switch_budget,
        costs=costs,
    )
    tokenizer = Tokenizer(loaded.tokenizer)
    engine = Engine(
        runner,
        scheduler,
        Store(reserved={loaded.name}),
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


def _model(config: Config) -> tuple[Loaded, Runner, Costs]:
    """The model, ready to run, and what its steps cost."""
    loaded = load(config.model.path, config.model.dtype, config.model.device)
    memory = config.memory
    budget = None if memory.budget_gb == "auto" else int(memory.budget_gb * 2**30)
    runner = Runner(
        loaded,
        slots=None if memory.slots == "auto" else memory.slots,
        kv_tokens=None if memory.kv_tokens == "auto" else memory.kv_tokens,
        budget_bytes=budget,
    )
    return loaded, runner, calibrate(runner, config.schedule.max_batch)


def routes(serving: Serving, watch: Watch | None, drain_s: float) -> Litestar:
    """The HTTP application around an engine that is not started yet.

    `state.drain()`, from any thread, begins a shutdown that accepts nothing more and
    lets what was accepted finish within `drain_s`.
    """

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
        [*openai.ROUTES, *djl.ROUTES, *operations.ROUTES],
        dependencies={"serving": Provide(lambda: serving, sync_to_thread=False)},
        exception_handlers={
            HotswapError: _ours,
            HTTPException: _theirs,
            Exception: _bug,
        },
        lifespan=[lifespan],
        state=State({"drain": lambda: serving.engine.drain(drain_s)}),
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


def _ours(request: Request, error: HotswapError) -> Response:
    return _answer(request, error, type(error))


def _theirs(request: Request, error: HTTPException) -> Response:
    """Litestar's own: no such route, another method, a body too large."""
    answer = _answer(request, HotswapError(error.detail), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _bug(request: Request, error: Exception) -> Response:
    log.exception("unexpected error path=%s", request.url.path, exc_info=error)
    return _answer(request, HotswapError("internal error, see the server's log"), 500)


def _answer(
    request: Request, error: HotswapError, what: type[HotswapError] | int
) -> Response:
    """The error in the shape of its route. `what` is looked up in the table, or the
    status itself."""
    is_djl = request.url.path.startswith(djl.PATHS)
    if isinstance(what, int):
        status, kind = what, HTTPStatus(what).phrase.replace(" ", "")
    else:
        status, kind = (DJL_STATUS if is_djl else STATUS)[what], what.__name__
    shape = djl.error_body if is_djl else openai.error_body
    body = shape(error, status, kind)
    return Response(body, status_code=status, media_type=MediaType.JSON)


async def _name_request(message: Message, scope: Scope) -> None:
    """Give every answer an x-request-id: the client's own, or a new one."""
    if message["type"] == "http.response.start":
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        headers = MutableScopeHeaders.from_message(message)
        headers["x-request-id"] = given or uuid.uuid4().hex
