"""Connections: how long one may be idle, slow or deaf, and how many there may be.

uvicorn closes a connection that is idle after an answer. This closes, besides, one that
never says a whole head, one whose unread body still comes when its answer is out, and
one that does not read its answer. It accepts no more than the process has descriptors
for, with some in reserve for adapters' files; when all are taken, the one that has been
idle longest gives way to a newcomer, or else the one whose body is longest in coming.
Who can still be answered is told by which limit.
"""

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
import msgspec
import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.h11_impl import H11Protocol

from hotswap.api.openai.shape import error_body
from hotswap.descriptors import descriptors, open_now, room
from hotswap.errors import HotswapError
from hotswap.limit_options import DEFAULTS, LimitsConfig
from hotswap.options import unless_auto

log = logging.getLogger(__name__)

_MOST = 4096


def http(
    application: Litestar,
    *,
    host: str,
    port: int,
    drain_s: float,
    tls_cert: str = "",
    tls_key: str = "",
    limits: LimitsConfig = DEFAULTS,
) -> uvicorn.Config:
    """uvicorn's settings. `tls_cert`, `tls_key`: paths of PEM files; "" is HTTP.
    Raises this process' soft limit of descriptors."""
    most, at_once = room(descriptors(), open_now())
    return uvicorn.Config(
        application,
        host=host,
        port=port,
        http=partial(  # type: ignore[arg-type]
            Connection,
            limits=limits,
            most=unless_auto(limits.connections) or min(most, _MOST),
        ),
        ssl_certfile=tls_cert or None,
        ssl_keyfile=tls_key or None,
        ws="none",
        log_config=None,
        access_log=False,
        # asyncio accepts as many before it looks at the first of them.
        backlog=at_once,
        # Streams end when the engine has drained; uvicorn waits a little longer.
        timeout_graceful_shutdown=int(drain_s) + 5,
    )


class Connection(H11Protocol):
    """One connection. Everything here runs on the event loop."""

    def __init__(
        self, *args: Any, limits: LimitsConfig, most: int, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._most = most
        self._since = self.loop.time()  # idle, or with the request it has now
        self._phase: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deaf: asyncio.TimerHandle | None = None
        self.timeout_keep_alive = limits.idle_s  # type: ignore[assignment]

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_late(self) -> bool:
        """Whether the body of its request is long in coming."""
        return (
            self.is_busy
            and not self.cycle.response_started
            and self.conn.their_state is h11.SEND_BODY
            and self.loop.time() - self._since >= self._limits.late_body_s
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._make_room()
        self._look()

    def data_received(self, data: bytes) -> None:
        was_busy = self.is_busy
        super().data_received(data)
        if self.is_busy and not was_busy:
            self._since = self.loop.time()
        self._look()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._deaf = self.loop.call_later(self._limits.write_s, self._leave_deaf)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._deaf is not None:
            self._deaf.cancel()
            self._deaf = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timers()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._count(400)
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer is on its way already
            self.transport.close()

    def _look(self) -> None:
        """Set the timer for what the client now has to do, once for each thing."""
        phase, limit_s = self._due()
        if self.transport.is_closing() or phase == self._phase:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._phase = phase
        if phase is not None:
            self._timer = self.loop.call_later(limit_s, self._end, phase)

    def _due(self) -> tuple[str | None, float]:
        limits = self._limits
        if self.is_busy:
            return None, 0  # its body has a limit in the application, too
        if self.conn.their_state is h11.SEND_BODY:
            return "linger_s", limits.linger_s
        if self.cycle is None or self.conn.trailing_data[0]:
            return "head_s", limits.head_s
        return "idle_s", limits.idle_s

    def _end(self, phase: str) -> None:
        """The client did not do in time what it had to."""
        log.debug("connection closed by limits.%s", phase)
        if phase == "head_s" and self.conn.trailing_data[0]:
            late = f"the head did not come within {self._limits.head_s:g} s"
            self._count(HTTPStatus.REQUEST_TIMEOUT)
            self._tell(HTTPStatus.REQUEST_TIMEOUT, f"{late} (`limits.head_s`)")
        self.transport.close()

    def _leave_deaf(self) -> None:
        log.debug("connection closed by limits.write_s")
        self.transport.abort()

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, or the one that is late for
        longest, or refuse this one."""
        others = [c for c in self.connections if isinstance(c, Connection)]
        others.remove(self)
        idle = [c for c in others if not c.is_busy]
        late = [c for c in others if c.is_late]
        leaves = min(idle or late, key=lambda c: c._since, default=self)
        if leaves is self:
            busy = f"{self._most} connections are open (`limits.connections`)"
            self._count(HTTPStatus.SERVICE_UNAVAILABLE)
            self._tell(HTTPStatus.SERVICE_UNAVAILABLE, busy)
        elif not idle:  # the application counts it as one that has left
            late_s = self._limits.late_body_s
            slow = f"the body did not come within {late_s:g} s, and others wait"
            leaves._tell(HTTPStatus.REQUEST_TIMEOUT, f"{slow} (`limits.late_body_s`)")
        self.connections.discard(leaves)
        leaves.transport.close()

    def _tell(self, code: HTTPStatus, why: str) -> None:
        """Answer beside uvicorn, which has no request to answer."""
        body = msgspec.json.encode(error_body(HotswapError(why), code))
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nretry-after: 1\r\nconnection: close\r\n\r\n%s"
            % (code, code.phrase.encode(), len(body), body)
        )

    def _count(self, code: int) -> None:
        self.config.app.state.answers[int(code)] += 1  # type: ignore[union-attr]

    def _forget_timers(self) -> None:
        for timer in (self._timer, self._deaf):
            if timer is not None:
                timer.cancel()
