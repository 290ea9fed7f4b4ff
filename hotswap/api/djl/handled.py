"""Handled: a request that the operator's handler answers, in the built-in's place.

    handler_input -> the handler, on its own threads -> Exchange -> answer

What it asks of the model on the way comes back here, to the event loop, and is asked as
by a request of the same client.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from litestar import Request, Response
from litestar.response import Stream

from hotswap.api.djl.handler_input import handler_input
from hotswap.api.shared.request_record import (
    GENERATES,
    note_error,
    note_handled,
)
from hotswap.api.shared.running import primed, unless_gone
from hotswap.api.shared.server_state import ServerState
from hotswap.errors import Stopping, Vetoed
from hotswap.handler.asking import asker
from hotswap.handler.djl_calls import data_of
from hotswap.handler.djl_python.outputs import Output

# `opt` of a route that a handler answers if there is one.
HANDLED = {**GENERATES, "handled": True}
# What /invocations answers to a body, by the adapter that is meant if it names none.
Ask = Callable[[Mapping[str, Any], str], Awaitable[Any]]

_MOST_UNREAD = 1 << 26  # bytes of a stream that its client has not taken
_NAME, _VALUE = (
    re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"),
    re.compile(r"[ -~\x80-\xff]*"),
)
_FRAMING = ("content-length", "transfer-encoding", "connection", "x-request-id")


class Exchange:
    """What goes from the handler's thread to the answer, and from its questions to the
    event loop. Made on the event loop, for one request."""

    def __init__(self, ask: Ask, adapter: str) -> None:
        """`adapter`: what is asked if a question names none."""
        self._ask = ask
        self._adapter = adapter
        self._loop = asyncio.get_running_loop()
        self._parts: asyncio.Queue[Output | bytes | Future[None]] = asyncio.Queue()
        self._asked: set[Future[Any]] = set()
        self._sent = self._read = 0  # bytes of chunks; each is written by one thread
        self._is_closed = False

    def head(self, output: Output) -> None:
        self._put(output)

    def chunk(self, data: bytes) -> bool:
        """Raises Vetoed if the client takes them too slowly."""
        self._sent += len(data)
        if self._sent - self._read > _MOST_UNREAD:
            raise Vetoed(f"the client has left {_MOST_UNREAD} bytes unread")
        self._put(data)
        return not self._is_closed

    def over(self, future: "Future[None]") -> None:
        """The call has ended, on whatever thread."""
        self._put(future)
        self.close()

    def __call__(self, body: Mapping[str, Any]) -> "Future[Any]":
        """Ask the model."""
        if self._is_closed:
            raise RuntimeError("the request is over")
        future = asyncio.run_coroutine_threadsafe(self._asking(body), self._loop)
        self._asked.add(future)
        future.add_done_callback(self._asked.discard)
        return future

    async def next(self) -> Output | bytes | None:
        """The next part; None is the end. Raises what the call has raised."""
        part = await self._parts.get()
        if isinstance(part, Future):
            part.result()
            return None
        if isinstance(part, bytes):
            self._read += len(part)
        return part

    def close(self) -> None:
        """The handler has ended or nobody waits for it: its questions end."""
        self._is_closed = True
        for future in list(self._asked):
            future.cancel()

    async def _asking(self, body: Mapping[str, Any]) -> Any:
        return await self._ask(body, self._adapter)

    def _put(self, part: "Output | bytes | Future[None]") -> None:
        with suppress(RuntimeError):  # the server has ended meanwhile
            self._loop.call_soon_threadsafe(self._parts.put_nowait, part)


async def handled(
    request: Request, server: ServerState, endpoint: str | None, ask: Ask
) -> Response:
    """Raises what the handler does, as Vetoed or NoRoom, and what the model did."""
    handler = server.hooks.handler
    assert handler is not None
    if server.engine.status.is_stopping:
        raise Stopping
    made, named = await handler_input(request, server, endpoint)
    exchange = Exchange(ask, named or "")
    asker.set(exchange)
    call = handler.handle(made, exchange)
    call.add_done_callback(exchange.over)
    try:
        output = await unless_gone(request, exchange.next())
        assert isinstance(output, Output), "its head comes first"
        return await _answer(exchange, output)
    except BaseException:
        call.cancel()  # if it waits
        exchange.close()
        raise


async def _answer(exchange: Exchange, output: Output) -> Response:
    code = output.code
    if not isinstance(code, int) or not 200 <= code <= 599:
        raise Vetoed(f"handle says the code {code!r}, which is none of HTTP's answers")
    headers = _headers(output)
    headers.setdefault("content-type", output.media_type)
    if output.stream_content is not None:
        chunks = await primed(exchange, _chunks(exchange))
        return Stream(chunks, status_code=code, headers=headers)
    note_handled()
    content = b"" if code in (204, 304) else data_of(output)
    return Response(content, status_code=code, headers=headers)


async def _chunks(exchange: Exchange) -> AsyncIterator[bytes]:
    has_begun = False
    try:
        while (part := await exchange.next()) is not None:
            assert isinstance(part, bytes)
            has_begun = True
            yield part
        if not has_begun:
            yield b""
        note_handled()
    except Exception as error:
        note_error(error)
        if not has_begun:
            raise
        yield str(error).encode()  # the status is out: as in DJL the last chunk says it
    finally:
        exchange.close()


def _headers(output: Output) -> dict[str, str]:
    """Properties as headers, but for those that the server says itself. Raises Vetoed
    for what none can be."""
    found: dict[str, str] = {}
    for key, said in output.properties.items():
        name, value = str(key).lower(), str(said)
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Vetoed(f"the property {name!r} cannot be a header")
        if name not in _FRAMING:
            found[name] = value
    return found
