"""Connections: how long one may be idle, slow or deaf, and how many there may be.

uvicorn closes a connection that is idle after an answer. This closes, besides, one that
never says a whole head, one whose unread body still comes when its answer is out, and
one that does not read its answer. It accepts no more than the process has descriptors
for, with some in reserve for adapters' files; when all are taken, the one that has been
idle longest gives way to a newcomer, or else the one whose body is longest in coming.
"""

import asyncio
import os
import resource
from dataclasses import dataclass
from functools import partial
from typing import Any

import h11
import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.h11_impl import H11Protocol

_RESERVE = 64  # descriptors for adapters' files, the journal, the watch
_MOST = 4096
_MOST_AT_ONCE = 512
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\n"
    b"connection: close\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """`head_s`: from the connection, or from its first byte, to the end of a request's
    head. `body_s`: for a request whose body is not there yet, after which it gives way
    to newcomers if there are too many. `idle_s`: between two requests; more than the
    60 s of usual proxies. `linger_s`: for the rest of a body nobody wants. `write_s`:
    without reading. `connections`: at once; None is what the descriptors allow."""

    head_s: float = 20
    body_s: float = 5
    idle_s: float = 75
    linger_s: float = 5
    write_s: float = 60
    connections: int | None = None


def http(
    application: Litestar,
    *,
    host: str,
    port: int,
    drain_s: float,
    tls_cert: str = "",
    tls_key: str = "",
    limits: ConnectionLimits = ConnectionLimits(),
) -> uvicorn.Config:
    """uvicorn's settings. `tls_cert`, `tls_key`: paths of PEM files; "" is HTTP.
    Raises this process' soft limit of descriptors."""
    most, at_once = room(descriptors(), _open())
    return uvicorn.Config(
        application,
        host=host,
        port=port,
        http=partial(  # type: ignore[arg-type]
            Connection, limits=limits, most=limits.connections or most
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


def room(descriptors: int, used: int) -> tuple[int, int]:
    """How many connections there may be, and how many may come at once on top."""
    free = max(descriptors - used, 4)
    free -= min(_RESERVE, free // 2)
    at_once = min(max(free // 4, 1), _MOST_AT_ONCE)
    return min(max(free - at_once, 1), _MOST), at_once


class Connection(H11Protocol):
    """One connection. Everything here runs on the event loop."""

    def __init__(
        self, *args: Any, limits: ConnectionLimits, most: int, **kwargs: Any
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
            and self.loop.time() - self._since >= self._limits.body_s
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
        self._deaf = self.loop.call_later(self._limits.write_s, self.transport.abort)

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
            self._timer = self.loop.call_later(limit_s, self.transport.close)

    def _due(self) -> tuple[str | None, float]:
        limits = self._limits
        if self.is_busy:
            return None, 0  # its body has a limit in the application, too
        if self.conn.their_state is h11.SEND_BODY:
            return "linger", limits.linger_s
        if self.cycle is None or self.conn.trailing_data[0]:
            return "head", limits.head_s
        return "idle", limits.idle_s

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, or the one that is late for
        longest, or refuse this one."""
        others = [c for c in self.connections if isinstance(c, Connection)]
        others.remove(self)
        idle = [c for c in others if not c.is_busy]
        late = [c for c in others if c.is_late]
        leaves = min(idle or late, key=lambda c: c._since, default=self)
        if leaves is self:
            self._count(503)
            self.transport.write(_BUSY)
        self.connections.discard(leaves)
        leaves.transport.close()

    def _count(self, code: int) -> None:
        self.config.app.state.answers[code] += 1  # type: ignore[union-attr]

    def _forget_timers(self) -> None:
        for timer in (self._timer, self._deaf):
            if timer is not None:
                timer.cancel()


def descriptors() -> int:
    """How many this process may have open; the soft limit is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # a system with a limit of its own below "none"
        return soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def _open() -> int:
    """How many it has open."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return _RESERVE
