"""Sharing: a change of adapters or endpoints is one of all servers that share them.

One at a time, whichever server is asked. It begins when this server has done all that
was asked of the others, so what it compares with (`expected_generation`) holds
everywhere; and it is answered when each server that lives answers as this one does.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import wait
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from hotswap.errors import NotKept
from hotswap.library.library import START_S
from hotswap.library.lock import try_lock
from hotswap.sharing.crew_errors import ChangeUnderWay, NotEverywhere
from hotswap.sharing.follower import Follower
from hotswap.sharing.members import Members, Told
from hotswap.short_thread import in_short_thread

T = TypeVar("T")

_LOCK = "change"
_EVERY_S = 0.02
_PATIENCE_S = 30.0


class Alone:
    """Of a server that has its adapters for itself."""

    is_alive = True
    trouble: tuple[str, ...] = ()

    def start(self) -> None: ...
    def stop(self) -> None: ...

    @asynccontextmanager
    async def change(self, *names: str) -> AsyncIterator[None]:
        yield


class Sharing(Alone):
    """`folder`: what the servers write for each other. `patience_s`: how long a change
    waits for its turn, and then for the others."""

    def __init__(
        self,
        folder: Path,
        members: Members,
        follower: Follower,
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._folder, self._members, self._follower = folder, members, follower
        self.patience_s = patience_s
        self._holder: asyncio.Task[object] | None = None
        self._names: tuple[str, ...] = ()  # of its change

    @property
    def is_alive(self) -> bool:  # type: ignore[override]
        return self._follower.is_alive

    @property
    def trouble(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._follower.trouble

    def start(self) -> None:
        """The library runs. Blocks until all is done that was asked before, or
        `START_S`. Raises StartFailed."""
        self._members.join()
        self._follower.start()
        wait([self._follower.caught_up()], START_S)

    def stop(self) -> None:
        """From here on nobody waits for this server."""
        self._follower.stop()
        self._members.leave()

    @asynccontextmanager
    async def change(self, *names: str) -> AsyncIterator[None]:
        """Around a change of `names`, and of the endpoints. One within another is part
        of it. Raises ChangeUnderWay with nothing done, NotEverywhere with it done."""
        task = asyncio.current_task()
        if self._holder is task:
            self._names += names
            yield
            return
        handle = await self._turn()
        self._holder, self._names = task, names
        try:
            await self._caught_up()
            yield
            await self._everywhere(self._names)
        finally:
            self._holder = None
            os.close(handle)

    async def _turn(self) -> int:
        """The lock on all changes, once it is ours."""
        path, clock = self._folder / _LOCK, asyncio.get_running_loop()
        end = clock.time() + self.patience_s
        while clock.time() < end:
            trying = asyncio.ensure_future(
                self._at_disk(partial(try_lock, path, creates=True))
            )
            try:
                handle = await asyncio.shield(trying)
            except asyncio.CancelledError:
                trying.add_done_callback(_let_go)
                raise
            if handle is not None:
                return handle
            await asyncio.sleep(_EVERY_S)
        raise ChangeUnderWay

    async def _at_disk(self, work: Callable[[], T]) -> T:
        """Beside the event loop. Raises NotKept."""
        try:
            return await asyncio.to_thread(in_short_thread, work, self.patience_s)
        except OSError as error:
            why = error.strerror or error
            raise NotKept(f"what servers share cannot be reached: {why}") from None

    async def _everywhere(self, names: tuple[str, ...]) -> None:
        clock = asyncio.get_running_loop()
        end = clock.time() + self.patience_s
        while True:
            mine = await self._caught_up(*names)
            late = await self._at_disk(partial(self._late, mine, names))
            if not late:
                return
            if clock.time() > end or any(late.values()):
                raise NotEverywhere(late)
            await asyncio.sleep(_EVERY_S)

    async def _caught_up(self, *names: str) -> Told:
        told = asyncio.wrap_future(self._follower.caught_up(*names))
        try:
            return await asyncio.wait_for(told, self.patience_s)
        except TimeoutError:
            why = "; ".join(self.trouble) or "the disk does not answer"
            raise NotKept(f"what servers share cannot be read: {why}") from None

    def _late(self, mine: Told, names: tuple[str, ...]) -> dict[str, str]:
        """Each server that does not answer as this one; why, if it never will."""
        late = {}
        for server, told in self._members.all().items():
            if server == self._members.name:
                continue
            if told is None or told.files != mine.files:
                late[server] = ""
                continue
            for name in names:
                here, there = mine.rows.get(name), told.rows.get(name)
                # So many were changed at once that this one is not told any more
                if here is not None and there is not None and not here.agrees(there):
                    late[server] = there.reason or ""
        return late


def _let_go(trying: "asyncio.Future[int | None]") -> None:
    """Of a lock that nobody waits for any more."""
    if not trying.cancelled() and trying.exception() is None:
        handle = trying.result()
        if handle is not None:
            os.close(handle)
