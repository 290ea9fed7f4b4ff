"""A server without HTTP: the real watcher, library, store and engine on one directory.

Its model's text tells which weights made it, and a checkpoint is a letter: the key of
its generation. Nothing happens by itself: the watcher looks when it is told to.
"""

import asyncio
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.adapters.generation import Generation
from hotswap.adapters.store import Store
from hotswap.errors import AdapterRefused
from hotswap.library.adapter_sources import Sources
from hotswap.library.entries import Found
from hotswap.library.hooks import Hooks
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.library import Library
from hotswap.library.registry import Registry
from hotswap.library.watch import Watch
from scheduler import POLICIES
from tests.engines import engine_of, rest_of, small_scheduler, submit
from tests.fakes import FakeExecutor, generation

PROMPT, TOKENS = 3, 12
_QUIET_S = 1000.0


class Disk:
    """Reads wait for as long as their folder is held."""

    def __init__(self) -> None:
        self._held: dict[str, threading.Event] = {}

    def hold(self, name: str) -> None:
        self._held[name] = threading.Event()

    def let_go(self, name: str) -> None:
        self._held.pop(name).set()

    def read(self, folder: Path) -> Generation:
        if held := self._held.get(folder.name):
            assert held.wait(20), "the test forgot a read"
        key = (folder / WEIGHTS_FILE).read_text()
        if len(key) != 1:
            raise AdapterRefused("bad_weights", f"{WEIGHTS_FILE} is broken")
        return generation(key)


class Headless:
    """Tickets live on `loop`, which runs in another thread."""

    def __init__(
        self, directory: Path, loop: asyncio.AbstractEventLoop, disk: Disk
    ) -> None:
        self._loop = loop
        self._ahead_s = 0.0
        self._under_way: list[tuple[str, Future[Any]]] = []
        self.library = Library()
        self.engine = engine_of(
            FakeExecutor(),
            small_scheduler(POLICIES["affinity"]()),
            Store(max_loaded=2),  # fewer than there are names: some live on disk
            self.library.fetch,
        )
        self.library.open(
            Registry(
                disk.read,
                self.engine.post,
                sources=Sources([directory]),
                journal=Journal(directory / JOURNAL_FILE),
                hooks=Hooks(),
                max_adapters=100,
                max_pinned=None,
            )
        )
        self._watch = Watch(
            directory,
            quiet_s=_QUIET_S,
            seen=self.library.seen,
            found=self._found,
            gone=self._gone,
            polling=True,
            clock=lambda: time.time() + self._ahead_s,
        )
        self.engine.start()
        self.library.start()
        self.look()

    def close(self) -> None:
        self.engine.stop(10)
        self.library.stop()

    def look(self, held: str | None = None) -> None:
        """The watcher looks when everything has rested; all but `held` is done."""
        for self._ahead_s in (0, 100 * _QUIET_S):
            self._watch.look()
            wait([future for name, future in self._under_way if name != held], 10)
            self._under_way = [(n, f) for n, f in self._under_way if not f.done()]
            assert all(name == held for name, _ in self._under_way)

    def ask(self, name: str, *, is_held: bool = False) -> "Future[str]":
        """A request that is accepted or refused already, unless its read is held."""
        is_told = threading.Event()
        work = self._answer(name, is_told)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        assert is_held or is_told.wait(10), "neither accepted nor refused"
        return future

    def _found(self, name: str, folder: Path, state: str) -> "Future[Found]":
        found = self.library.found(name, folder, state)
        self._under_way.append((name, found))
        return found

    def _gone(self, name: str) -> None:
        self._under_way.append((name, self.library.gone(name)))

    async def _answer(self, name: str, is_told: threading.Event) -> str:
        ticket = submit(self.engine, name, PROMPT, TOKENS)
        try:
            try:
                await ticket.accepted()
            finally:
                is_told.set()
            return await rest_of(ticket)
        finally:
            ticket.close()
