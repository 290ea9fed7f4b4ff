"""Front: what stands around Ray's proxy, in its process.

Ray hands a request on without its body, in which most adapters are named: so the body
is read here, the name is noted in the scope for the router, and the body goes on as it
came. Answers are as one server's: one x-request-id, and where Ray itself answers, or
ends a connection since a replica has died, an error in its route's shape.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request

from hotswap.api.djl.event_stream import MEDIA_TYPE, model_stream_error
from hotswap.api.error_responses import known_error
from hotswap.errors import HotswapError
from hotswap.ray.naming import named
from hotswap.sharing.crew_errors import NoServer, ServerGone

NAMED = "hotswap.named"  # in the scope
REPLICA = b"x-hotswap-replica"  # which one answers, or shall
_REQUEST_ID = b"x-request-id"
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_MOST_BYTES = 1 << 24  # of a body that is looked at
_PATIENCE_S = 2.0  # for its end; then it goes where the wait is shortest

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Front:
    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/-/"):
            await self._app(scope, receive, send)
            return
        body = _Body(receive)
        if scope["method"] == "POST":
            await body.look()
        scope = {**scope, "headers": _with_id(scope["headers"])}
        scope[NAMED] = named(scope, body.whole)
        answer = _Answer(scope, send)
        await self._app(scope, body.receive, answer.send)
        await answer.end()


class _Body:
    """A request's body, looked at and then handed on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: list[Message] = []
        self._next: asyncio.Future[Message] | None = None  # that was not waited for
        self.whole = b""  # as far as it was looked at

    async def look(self) -> None:
        end = asyncio.get_running_loop().time() + _PATIENCE_S
        parts: list[bytes] = []
        size = 0
        while size <= _MOST_BYTES:
            coming = asyncio.ensure_future(self._receive())
            left = end - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait([coming], timeout=max(left, 0.0))
            if not done:
                self._next = coming
                return
            message = coming.result()
            self._read.append(message)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if not message.get("more_body"):
                self.whole = b"".join(parts)
                return

    async def receive(self) -> Message:
        if self._read:
            return self._read.pop(0)
        if self._next is not None:
            coming, self._next = self._next, None
            return await coming
        return await self._receive()


class _Answer:
    """What goes out, and what is missing of it in the end."""

    def __init__(self, scope: Message, send: Send) -> None:
        self._scope, self._send = scope, send
        self._kind: str | None = None  # of what has begun
        self._is_over = False
        self._rays_own: list[bytes] | None = None  # what Ray says itself

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            ids = [n for n, (name, _) in enumerate(headers) if _is_id(name)]
            if len(ids) < 2:  # Ray's alone: no replica has answered
                self._rays_own = []
                return
            del headers[ids[-1]]
            message = {**message, "headers": headers}
            self._kind = dict(headers).get(b"content-type", b"").decode()
        elif self._rays_own is not None:
            self._rays_own.append(message.get("body", b""))
            return
        else:
            self._is_over = not message.get("more_body")
        await self._send(message)

    async def end(self) -> None:
        if self._rays_own is not None:
            said = b"".join(self._rays_own).decode(errors="replace")
            await self._answer(NoServer(said[:500]))
        elif self._kind is None:
            await self._answer(ServerGone())
        elif not self._is_over and (last := self._last_words()):
            await self._send({"type": "http.response.body", "body": last})
        # Else the proxy closes the connection, which no client takes for an end.

    def _last_words(self) -> bytes:
        """How a stream says that it was cut."""
        kind: str = (self._kind or "").partition(";")[0]
        error = ServerGone()
        if kind == MEDIA_TYPE:
            return model_stream_error(str(error))
        if kind == "text/event-stream" and self._scope["path"] != "/v1/events":
            content = known_error(self._request(), error).content
            return b"data: " + msgspec.json.encode(content) + b"\n\n"
        return b""

    async def _answer(self, error: HotswapError) -> None:
        request = self._request()
        made = known_error(request, error)
        own = self._scope["headers"][-1]
        made.headers[_REQUEST_ID.decode()] = own[1].decode("latin-1")
        answer = made.to_asgi_response(None, request)
        await answer(self._scope, _nothing, self._send)  # type: ignore[arg-type]

    def _request(self) -> Request:
        return Request(self._scope)  # type: ignore[arg-type]


def _with_id(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """With one x-request-id, the last: the client's if it is short and can be printed,
    as in `api.middleware`, or a new one."""
    given = [value for name, value in headers if _is_id(name)]
    own = given[-1] if given and _ID.fullmatch(given[-1]) else uuid.uuid4().hex.encode()
    return [*(h for h in headers if not _is_id(h[0])), (_REQUEST_ID, own)]


def _is_id(name: bytes) -> bool:
    return name.lower() == _REQUEST_ID


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
