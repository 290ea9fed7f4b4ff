"""Middleware: what every HTTP request passes on its way in, and every answer out.

Bodies are bounded (`request_bodies`). Answers are counted by code, logged at debug
level and get an x-request-id; those that are generated are told to the observers. HEAD
is GET without the body.
"""

import asyncio
import logging
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import cast

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from hotswap.api.request_bodies import BodyLimits, RequestBodies, RequestBody
from hotswap.api.shared.asking_key import note
from hotswap.api.shared.request_context import key_name, request_id
from hotswap.api.shared.request_record import Observer, RequestRecord, record

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Middleware:
    """Wraps an application; `answers` counts what went out, by HTTP code. `observers`
    are told of each request that generates, when its answer is over."""

    def __init__(
        self,
        app: ASGIApp,
        answers: Counter[int],
        limits: BodyLimits,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._app = app
        self._answers = answers
        self._bodies = RequestBodies(limits)
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        name = _request_id(scope)
        request_id.set(name)  # uvicorn has a task for each request
        note(None)
        started = asyncio.get_running_loop().time()
        now = RequestRecord(request_id=name, headers=scope["headers"], began_at=started)
        record.set(now)

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start":
                now.code = message["status"]
                self._answers[now.code] += 1
                body.is_answered = True
                MutableScopeHeaders.from_message(message)["x-request-id"] = name
            await send(message)

        method, path = scope["method"], scope["path"]
        body = RequestBody(scope, receive, self._bodies)
        try:
            if method == "HEAD":
                scope = cast("Scope", {**scope, "method": "GET"})
                await self._app(scope, body.receive, _bare(out))
            else:
                await self._app(scope, body.receive, out)
        finally:
            body.close()
            now.seconds = asyncio.get_running_loop().time() - started
            what = (method, path[:200], now.code, now.seconds, name)
            log.debug("%s %r %d %.3f s id=%s", *what)
            self._tell(scope, now)

    def _tell(self, scope: Scope, now: RequestRecord) -> None:
        handler = scope.get("route_handler")  # none where no route matches
        if handler is None or not handler.opt.get("generates"):
            return
        now.route, now.key_name = scope["path_template"], key_name.get()
        for observer in self._observers:
            observer(now)


def _bare(send: Send) -> Send:
    """As `send`, but the answer ends after its headers."""

    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return headers_only


def _request_id(scope: Scope) -> str:
    """The client's own if it is short and can be printed, else a new one."""
    given = dict(scope["headers"]).get(b"x-request-id", b"")
    if _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex
