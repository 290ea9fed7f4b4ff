"""Guard: a request passes by its key, if the server has keys.

The key stands in `Authorization: Bearer KEY`, as OpenAI's clients send it (RFC 6750),
and nowhere else: what stands in a query goes into logs and histories. Nothing here
tells or logs what was shown.
"""

import asyncio
import logging
import re
from contextlib import suppress
from typing import cast

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from hotswap.api.shared.asking_key import note
from hotswap.api.shared.http_errors import KeyForbids, KeyInQuery, KeyTooOften, NoKey
from hotswap.api.shared.route_access import Access, access_of
from hotswap.keys.access_key import MOST_CHARACTERS, Key
from hotswap.keys.key_ring import KeyRing
from hotswap.short_thread import ShortThread

log = logging.getLogger(__name__)

_BEARER = re.compile(rf"(?i:bearer) +([\x21-\x7e]{{1,{MOST_CHARACTERS}}})")
# What people call a key where they put it into a query.
_IN_QUERY = ("key", "api_key", "api-key", "apikey", "access_token", "authorization")
_PATIENCE_S = 15.0  # for the disk
_HOW = "send it as `Authorization: Bearer KEY`"


class Guard:
    """Used on the event loop, for each request that was routed."""

    def __init__(self, ring: KeyRing, *, metrics_need_no_key: bool) -> None:
        self._ring = ring
        self._metrics = Access.OPEN if metrics_need_no_key else Access.ADMIN

    async def admit(self, connection: ASGIConnection, _: BaseRouteHandler) -> None:
        """Notes the key in the request's context. Raises NoKey, KeyForbids, KeyInQuery
        and KeyTooOften."""
        if not self._ring.is_locked:
            return
        request = cast("Request", connection)  # there is nothing else here
        asked = access_of(request)
        if asked is Access.METRICS:
            asked = self._metrics
        _check_query(request)
        if asked is Access.OPEN:
            # Who shows a key may be told more, and what is no key does no harm.
            with suppress(NoKey):
                note(self._key(request))
            return
        key = self._key(request)
        note(key)
        if asked is Access.ADMIN and not key.admin:
            raise KeyForbids("this takes an admin key, and that is an API key")
        wait_s = self._ring.wait_s(key, asyncio.get_running_loop().time())
        if wait_s:
            raise KeyTooOften(key.per_minute or 0, wait_s)

    def _key(self, request: Request) -> Key:
        """That the request shows. Raises NoKey."""
        said = request.headers.getall("authorization", [])
        if len(said) != 1:
            how_many = "several keys" if said else "no key"
            raise NoKey(f"the request shows {how_many}: {_HOW}", is_wrong=bool(said))
        shown = _BEARER.fullmatch(said[0])
        if shown is None:
            raise NoKey(f"`Authorization` is not a key: {_HOW}", is_wrong=True)
        key = self._ring.find(shown[1])
        if key is None:
            raise NoKey("the key is not one of this server's", is_wrong=True)
        return key


def _check_query(request: Request) -> None:
    """Raises KeyInQuery."""
    for name in request.query_params:
        if name.lower() in _IN_QUERY:
            raise KeyInQuery(name, _HOW)


async def follow(ring: KeyRing, *, every_s: float = 1.0) -> None:
    """Read the files of keys again when they change, until it is cancelled. Beside the
    event loop: the disk may be slow, or never answer."""
    while ring.has_files:
        await asyncio.sleep(every_s)
        try:
            look = asyncio.wrap_future(ShortThread(ring.look).future)
            # An end of the server does not wait for the disk, either.
            done, _ = await asyncio.wait([look], timeout=_PATIENCE_S)
            if not done:
                ring.trouble = ("the files of keys: the disk does not answer",)
                log.error("%s; the keys of before hold", ring.trouble[0])
                await asyncio.wait([look])
            look.result()
        except Exception:  # no thread just now, or a bug: the keys of before hold
            log.exception("the files of keys could not be looked at")
