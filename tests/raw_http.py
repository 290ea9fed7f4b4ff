"""A small server on a real socket, and a client that speaks HTTP byte by byte."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from litestar import Litestar, Request, get, post
from litestar.datastructures import State
from litestar.response import Stream

from hotswap import connections
from hotswap.api.middleware import Middleware
from hotswap.api.request_bodies import BodyLimits
from hotswap.limit_options import LimitsConfig
from tests.servers import free_port, wait_until

GET = b"GET /hi HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /take HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
LONG = 30.0  # longer than any test
PATIENT = dict.fromkeys(
    ("head_s", "late_body_s", "idle_s", "linger_s", "write_s"), LONG
)


@get("/hi")
async def hi() -> str:
    return "hi"


@get("/much")
async def much() -> Stream:
    async def endless() -> Any:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    return Stream(endless())


@post("/take")
async def take(request: Request) -> str:
    return str(len(await request.body()))


@post("/refuse")
async def refuse() -> str:
    return "no need to read that"


class Served:
    """A server with the limits given, in a thread."""

    def __init__(self, **limits: Any) -> None:
        self.answers: Counter[int] = Counter()
        app = Litestar(
            [hi, much, take, refuse],
            state=State({"answers": self.answers}),
            logging_config=None,
        )
        bodies = BodyLimits(body_bytes=1000, all_bodies_bytes=10_000, body_s=LONG)
        app.asgi_handler = Middleware(app.asgi_handler, self.answers, bodies)
        self.port = free_port()
        http = connections.http(
            app,
            host="127.0.0.1",
            port=self.port,
            drain_s=1,
            limits=LimitsConfig(**{**PATIENT, **limits}),
        )
        self.server = uvicorn.Server(http)

    @property
    def open(self) -> int:
        return len(self.server.server_state.connections)

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A connection that the server has taken, with bytes on their way."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        if sent:
            sock.sendall(sent)
        return sock


@contextmanager
def served(**limits: Any) -> Iterator[Served]:
    server = Served(**limits)
    thread = threading.Thread(target=server.server.run)
    thread.start()
    try:
        wait_until(lambda: server.server.started)
        yield server
    finally:
        server.server.should_exit = server.server.force_exit = True
        thread.join(20)
    assert not thread.is_alive()


def answer(sock: socket.socket) -> bytes:
    """One whole answer; the connection stays."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += sock.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < size:
        body += sock.recv(65536)
    return head


def rest(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    try:
        while part := sock.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def is_over(sock: socket.socket) -> bool:
    """Whether anything has come, or the end."""
    try:
        sock.recv(1)
        return True
    except TimeoutError:
        return False
    except ConnectionError:
        return True
