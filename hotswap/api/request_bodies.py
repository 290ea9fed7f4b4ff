"""Request bodies on their way in: how large, how slow, how many at once.

All that have not come whole hold at most `all_bodies_bytes` together: beyond that the
largest one gives way, so that no pile of half-sent bodies keeps a small request out.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from litestar.types import Receive, Scope

from hotswap.api.shared.http_errors import (
    BodyTooLarge,
    BodyTooSlow,
    ClientGone,
    EncodedBody,
)
from hotswap.errors import Overloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """`body_bytes`, `body_s`: of one body, `all_bodies_bytes`: of all unfinished ones,
    as [limits] of the configuration has them."""

    body_bytes: int
    all_bodies_bytes: int
    body_s: float


class RequestBodies:
    """All bodies that have not come whole yet. On the event loop."""

    def __init__(self, limits: BodyLimits) -> None:
        self.limits = limits
        self._total = 0
        self._held: dict[RequestBody, int] = {}

    def add(self, body: "RequestBody", size: int) -> None:
        """Note bytes that have come; the largest body gives way if it is too much."""
        self._held[body] = self._held.get(body, 0) + size
        self._total += size
        while self._total > self.limits.all_bodies_bytes:
            largest = max(self._held, key=self._held.__getitem__)
            self.remove(largest)
            largest.give_way()

    def remove(self, body: "RequestBody") -> None:
        self._total -= self._held.pop(body, 0)


class RequestBody:
    """One request's body, as ASGI's `receive`. Whoever makes one calls `close`."""

    def __init__(self, scope: Scope, receive: Receive, bodies: RequestBodies) -> None:
        self._receive = receive
        self._bodies = bodies
        self._limits = bodies.limits
        self._end = asyncio.get_running_loop().time() + bodies.limits.body_s
        headers = dict(scope["headers"])
        self._encoding = _encoding(headers.get(b"content-encoding", b""))
        announced = headers.get(b"content-length", b"")
        self._announced = int(announced) if announced.isdigit() else 0
        self._size = 0
        self.is_answered = False  # there is nothing left to refuse
        self._is_whole = False
        self._gives_way = False
        self._wait: asyncio.Timeout | None = None

    async def receive(self) -> Any:
        """Raises BodyTooLarge, BodyTooSlow, ClientGone, EncodedBody, or Overloaded if
        it has to give way, while that can still be an answer."""
        if self._is_whole:
            return await self._receive()  # that the client leaves
        self._refuse_if_too_large(self._announced)
        try:
            async with asyncio.timeout_at(self._end) as self._wait:
                message: Any = await self._receive()
        except TimeoutError:
            if self.is_answered:
                return {"type": "http.disconnect"}
            self._refuse_if_too_large(self._size)
            raise BodyTooSlow(self._limits.body_s) from None
        finally:
            self._wait = None
        if message["type"] == "http.disconnect":
            if self.is_answered:
                return message
            raise ClientGone
        if self._encoding and message["body"] and not self.is_answered:
            raise EncodedBody(self._encoding)
        self._size += len(message["body"])
        self._is_whole = not message.get("more_body", False)
        if self._is_whole:
            self.close()
        else:
            self._bodies.add(self, len(message["body"]))
        self._refuse_if_too_large(self._size)
        return message

    def give_way(self) -> None:
        self._gives_way = True
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(0)

    def close(self) -> None:
        self._bodies.remove(self)

    def _refuse_if_too_large(self, size: int) -> None:
        if self.is_answered:
            return
        if size > self._limits.body_bytes:
            raise BodyTooLarge(self._limits.body_bytes)
        if self._gives_way:
            most = self._limits.all_bodies_bytes
            raise Overloaded(
                f"bodies that have not come whole have more than {most} bytes "
                "(`limits.all_bodies_bytes`): the largest has to give way",
                retry_after_s=1,
            )


def _encoding(said: bytes) -> str:
    """What the body is packed in, "" if in nothing."""
    text = said.decode("latin-1")
    return "" if text.strip().lower() == "identity" else text[:100]
