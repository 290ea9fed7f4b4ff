"""Serve: the application behind uvicorn, from the bound port to the last connection."""

import gc
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

import uvicorn
from litestar import Litestar

from hotswap import connections, port
from hotswap.api.shared.server_state import ServerState
from hotswap.banner import Banner
from hotswap.config import Config

log = logging.getLogger(__name__)


def run(
    build: Callable[[Config], Litestar],
    settings: Config,
    bound: list[socket.socket],
    begun_s: float,
) -> int:
    """Until a signal ends it; the exit status. `build`: what is served. `begun_s`: when
    the start began, on the monotonic clock. Raises StartFailed."""
    server, application = settings.server, build(settings)
    # A collection of all that was loaded would take half a second of everybody's time.
    gc.collect()
    gc.freeze()
    gc.enable()
    http = connections.http(
        application,
        host=server.host,
        port=server.port,
        drain_s=server.drain_s,
        limits=settings.limits,
        tls_cert=server.tls_cert,
        tls_key=server.tls_key,
    )
    told = partial(_tell_ready, settings, application.state.server, begun_s)
    running = Server(http, told)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is done
        running.run(sockets=bound)
    if running.ended:
        return 4
    return 0 if running.started else 3


class Server(uvicorn.Server):
    """Tells the engine at the first signal; uvicorn itself tells nobody until every
    connection is closed, and a long answer would keep its connection open."""

    def __init__(
        self, settings: uvicorn.Config, tell_ready: Callable[[str], None]
    ) -> None:
        """`tell_ready`: is given the URL when it listens."""
        super().__init__(settings)
        self._tell_ready = tell_ready
        self.ended: tuple[str, ...] = ()  # threads, by a bug

    async def on_tick(self, counter: int) -> bool:
        """Whether to end. Also when one of our threads has: half a server answers some
        and lets others wait, and whoever supervises it starts a whole one again."""
        self.ended = self.config.app.state.ended()  # type: ignore[union-attr]
        if self.ended:
            log.critical("a bug has ended threads=%s: so ends the server", self.ended)
        return bool(self.ended) or await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            port.leave_to_next(sockets)
            self._tell_ready(port.url(sockets[0], is_tls=self.config.is_ssl))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.drain()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _tell_ready(
    settings: Config, server: ServerState, begun_s: float, url: str
) -> None:
    seconds = time.monotonic() - begun_s
    banner = Banner(settings, server, url, seconds)
    told = {"fields": banner.fields(), "lines": banner.lines()}
    log.info("ready url=%s seconds=%.1f", url, seconds, extra=told)
