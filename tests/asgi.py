"""A client of an ASGI application, without a server: bodies come piece by piece. And a
request by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar, Request
from litestar.testing import RequestFactory


def posted(path: str) -> Request:
    """A request by itself. Litestar's own application for it would configure logging,
    for the whole process."""
    return RequestFactory(Litestar(logging_config=None)).post(path)


class Client:
    """A request as the server gets it, piece by piece."""

    def __init__(
        self, path: str, method: str = "POST", headers: dict[str, bytes] | None = None
    ) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        path, _, query = path.partition("?")
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.encode(), v) for k, v in (headers or {}).items()],
            "client": None,
            "server": ("x", 1),
            "scheme": "http",
            "http_version": "1.1",
        }

    def send(self, body: bytes, *, more: bool = False) -> "Client":
        part = {"type": "http.request", "body": body, "more_body": more}
        self.incoming.put_nowait(part)
        return self

    async def ask(self, app: Callable[..., Awaitable[None]]) -> "Client":
        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self.incoming.put_nowait({"type": "http.disconnect"})

        await app(self.scope, self.incoming.get, send)
        return self

    @property
    def code(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.sent[1:])

    def header(self, name: str) -> str:
        found = dict(self.sent[0]["headers"]).get(name.encode(), b"")
        return str(found.decode())
