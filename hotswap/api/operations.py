"""Operations: health and status."""

from typing import Any, TypedDict

import msgspec
from litestar import Response, get

from hotswap import __version__
from hotswap.api.shared.asking_key import may_see_all
from hotswap.api.shared.server_state import Injected

_TURNS = 32


@get("/health/live")
async def live(server: Injected) -> Response:
    """200 while the threads run that serve, decide and watch."""
    now = server.health
    body = {"alive": now.is_alive, "ended": now.ended}
    return Response(body, status_code=200 if now.is_alive else 503)


@get(["/health", "/health/ready"])
async def ready(server: Injected) -> Response:
    """200 while requests are accepted and adapters come and go. `trouble`: what the
    disk keeps from them, a line each; whatever is served goes on. Where there are keys,
    the lines, which name adapters, take an admin key."""
    now = server.health
    trouble = now.trouble
    if trouble and not may_see_all(server):
        trouble = ("there is some: an admin key is told",)
    body = {"ready": now.is_ready, "trouble": trouble}
    return Response(body, status_code=200 if now.is_ready else 503)


@get("/v1/status")
async def status(server: Injected) -> dict[str, Any]:
    """What the engine does now, and the costs it has measured."""
    now = server.engine.status
    body = _plain(now)
    del body["adapters"]
    turns = server.engine.turns
    last = turns.last
    own = {
        "turns": _plain([*turns.ended()[-_TURNS:], *([last] if last else [])]),
        "latencies": server.engine.latencies.recent(),
        "memory": server.memory,
        "executor": server.executor,
    }
    return {"model": server.base, **body, **own}


class Version(TypedDict):
    version: str


@get("/version")
async def version() -> Version:
    """Of this server, as vLLM tells its own."""
    return {"version": __version__}


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


ROUTES = [live, ready, status, version]
