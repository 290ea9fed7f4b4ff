"""Events: a stream of what happens to adapters and to the weights, for controllers.

    event: adapter   data: a row of /v1/adapters, or {"name", "state": "removed"}
    event: resident  data: {"generation", "adapters", "warm_swaps", "cold_swaps"}

It begins with everything as it is, so that a client that comes back has missed nothing
that still holds. Made by comparing the engine's status with the last one seen: of two
changes within `_EVERY_S` only the outcome is told.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import msgspec
from litestar import get
from litestar.response import Stream

from hotswap.adapters.adapter_info import AdapterInfo
from hotswap.api.admin import about
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.engine.status import Status

_EVERY_S = 0.1
_IDLE_LOOKS = 150  # then a comment, which finds out clients that have gone


@get("/v1/events")
async def events(server: Injected) -> Stream:
    """Server-sent events until the server stops or the client leaves."""
    return Stream(_stream(server), media_type="text/event-stream")


async def _stream(server: ServerState) -> AsyncIterator[bytes]:
    last: Status | None = None
    idle = 0
    while server.engine.is_alive:
        now = server.engine.status
        idle += 1
        for event, body in _news(server, last, now):
            idle = 0
            yield b"event: %s\ndata: %s\n\n" % (event, msgspec.json.encode(body))
        if now.is_stopping:
            return
        if idle >= _IDLE_LOOKS:
            idle = 0
            yield b": nothing new\n\n"
        last = now
        await asyncio.sleep(_EVERY_S)


def _news(
    server: ServerState, last: Status | None, now: Status
) -> Iterator[tuple[bytes, Mapping[str, object]]]:
    if last is None or now.adapters is not last.adapters:
        before = {row.name: row for row in last.adapters} if last else {}
        for row in now.adapters:
            known = before.pop(row.name, None)
            if known is None or _state(known) != _state(row):
                yield b"adapter", about(server, row)
        for name in before:
            yield b"adapter", {"name": name, "state": "removed"}
    if last is None or now.resident != last.resident:
        yield (
            b"resident",
            {
                "generation": now.resident,
                "adapters": [
                    row.name for row in now.adapters if row.generation == now.resident
                ],
                "warm_swaps": now.counters.warm_swaps,
                "cold_swaps": now.counters.cold_swaps,
            },
        )


def _state(row: AdapterInfo) -> tuple[object, ...]:
    """What of a row is news: not how often it is asked for."""
    return row.state, row.generation, row.reason, row.is_loaded, row.origin


ROUTES = [events]
