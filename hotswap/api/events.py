"""Events: a stream of what happens, for controllers and for the page at `/`.

    event: adapter   data: a row of /v1/adapters, or {"name", "state": "removed"}
    event: resident  data: {"generation", "adapters", "warm_swaps", "cold_swaps"}
    event: turn      data: a turn that has ended, as in /v1/status
    event: pulse     data: `PulseBody`, once a second

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
from hotswap.api.pulse import Pulse
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.engine.status import Status

_EVERY_S = 0.1
_LOOKS = 10  # of each pulse, which also finds out clients that have gone
_MOST_TURNS = 64  # of one look; there are more only where turns take no time


@get("/v1/events")
async def events(server: Injected) -> Stream:
    """Server-sent events until the server stops or the client leaves."""
    return Stream(_stream(server), media_type="text/event-stream")


async def _stream(server: ServerState) -> AsyncIterator[bytes]:
    last: Status | None = None
    pulse, turn, looks = Pulse(server), 0, 0
    while server.engine.is_alive:
        now = server.engine.status
        told = [_event(event, body) for event, body in _news(server, last, now)]
        turns = server.engine.turns.ended(after=turn)
        for ended in turns if last is None else turns[-_MOST_TURNS:]:
            turn = ended.number
            told.append(_event(b"turn", ended))
        if looks % _LOOKS == 0:
            told.append(_event(b"pulse", pulse.body()))
        if told:  # at once: to hand over costs more than to make
            yield b"".join(told)
        if now.is_stopping:
            return
        last = now
        looks += 1
        await asyncio.sleep(_EVERY_S)


def _event(kind: bytes, body: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind, msgspec.json.encode(body))


def _news(
    server: ServerState, last: Status | None, now: Status
) -> Iterator[tuple[bytes, Mapping[str, object]]]:
    if last is None or now.adapters is not last.adapters:
        before = {row.name: row for row in last.adapters} if last else {}
        for row in now.adapters:
            known = before.pop(row.name, None)
            # Of a thousand rows most are the same objects as a look before.
            if known is row:
                continue
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
