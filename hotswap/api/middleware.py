"""Middleware: what every HTTP request passes on its way in, and every answer out.

A body must come within `BODY_S`, and all unfinished bodies together hold at most
`MOST_BYTES`: beyond that the largest one gives way, so that no pile of half-sent bodies
keeps a small request out. Answers are counted by code, logged at debug level and get
an x-request-id. HEAD is GET without the body.
"""

import asyncio
import logging
import re
import uuid
from collections import Counter
from typing import Any, cast

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from hotswap.api.shared.asking_key import note
from hotswap.api.shared.http_errors import BodyTooSlow, ClientGone, EncodedBody
from hotswap.errors import Overloaded

log = logging.getLogger(__name__)

BODY_S = 60.0
MOST_BYTES = 64 << 20
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Middleware:
    """Wraps an application; `answers` counts what went out, by HTTP code."""

    def __init__(
        self,
        app: ASGIApp,
        answers: Counter[int],
        *,
        body_s: float = BODY_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._app = app
        self._answers = answers
        self._body_s = body_s
        self._bodies = _Bodies(most_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        name = _request_id(scope)
        note(None)
        started = asyncio.get_running_loop().time()
        code = 0

        async def out(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                self._answers[code] += 1
                body.is_answered = True
                MutableScopeHeaders.from_message(message)["x-request-id"] = name
            await send(message)

        method, path = scope["method"], scope["path"]
        body = _Body(receive, self._body_s, self._bodies, _encoding(scope))
        try:
            if method == "HEAD":
                scope = cast("Scope", {**scope, "method": "GET"})
                await self._app(scope, body.receive, _bare(out))
            else:
                await self._app(scope, body.receive, out)
        finally:
            body.close()
            took = asyncio.get_running_loop().time() - started
            log.debug("%s %r %d %.3f s id=%s", method, path[:200], code, took, name)


class _Bodies:
    """All bodies that have not come whole yet."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._total = 0
        self._held: dict[_Body, int] = {}

    def add(self, body: "_Body", size: int) -> None:
        """Note bytes that have come; the largest body gives way if it is too much."""
        self._held[body] = self._held.get(body, 0) + size
        self._total += size
        while self._total > self._most:
            largest = max(self._held, key=self._held.__getitem__)
            self.remove(largest)
            largest.give_way()

    def remove(self, body: "_Body") -> None:
        self._total -= self._held.pop(body, 0)


class _Body:
    """One request's body on its way in, as ASGI's `receive`."""

    def __init__(
        self, receive: Receive, limit_s: float, bodies: _Bodies, encoding: str
    ) -> None:
        self._receive = receive
        self._limit_s = limit_s
        self._end = asyncio.get_running_loop().time() + limit_s
        self._bodies = bodies
        self._encoding = encoding
        self.is_answered = False  # there is nothing left to refuse
        self._is_whole = False
        self._gives_way = False
        self._wait: asyncio.Timeout | None = None

    async def receive(self) -> Any:
        """Raises BodyTooSlow, ClientGone, EncodedBody, or Overloaded if it has to give
        way, while that can still be an answer."""
        if self._is_whole:
            return await self._receive()  # that the client leaves
        self._refuse_if_too_large()
        try:
            async with asyncio.timeout_at(self._end) as self._wait:
                message: Any = await self._receive()
        except TimeoutError:
            if self.is_answered:
                return {"type": "http.disconnect"}
            self._refuse_if_too_large()
            raise BodyTooSlow(self._limit_s) from None
        finally:
            self._wait = None
        if message["type"] == "http.disconnect":
            if self.is_answered:
                return message
            raise ClientGone
        if self._encoding and message["body"] and not self.is_answered:
            raise EncodedBody(self._encoding)
        self._is_whole = not message.get("more_body", False)
        if self._is_whole:
            self.close()
        else:
            self._bodies.add(self, len(message["body"]))
            self._refuse_if_too_large()
        return message

    def give_way(self) -> None:
        self._gives_way = True
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(0)

    def close(self) -> None:
        self._bodies.remove(self)

    def _refuse_if_too_large(self) -> None:
        if self._gives_way and not self.is_answered:
            raise Overloaded("too many large bodies come at once", retry_after_s=1)


def _bare(send: Send) -> Send:
    """As `send`, but the answer ends after its headers."""

    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return headers_only


def _encoding(scope: Scope) -> str:
    """What the body is packed in, "" if in nothing."""
    said = dict(scope["headers"]).get(b"content-encoding", b"").decode("latin-1")
    return "" if said.strip().lower() == "identity" else said[:100]


def _request_id(scope: Scope) -> str:
    """The client's own if it is short and can be printed, else a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"")
    if _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex
