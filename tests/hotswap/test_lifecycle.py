"""An adapter's whole life, in any order: the right adapter answers, or nobody does.

Hypothesis drives the real watcher, library, store and engine on one directory, with a
model whose text tells which weights made it. Whatever is dropped, half copied, broken,
replaced, registered, pinned, removed or restarted, and in whatever order the reads of
its files finish: a request gets the generation that its name stood for when it was
accepted, from its first token to its last, or an error.
"""

import asyncio
import shutil
import tempfile
import threading
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotswap.adapters.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.deltas import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.letters import Submit
from hotswap.engine.sampling import SamplingParams
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    StillLoading,
    UnknownAdapter,
)
from hotswap.library.catalogue import Catalogue
from hotswap.library.entries import Found
from hotswap.library.hooks import Hooks
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.library import Library
from hotswap.library.sources import Sources
from hotswap.library.watch import Watch
from scheduler import POLICIES, Scheduler, SchedulerLimits
from tests.fakes import (
    EOS,
    PROMPT_TOKEN,
    FakeModel,
    FakeTokenizer,
    expected,
    generation,
)

NAMES = st.sampled_from(["p", "q", "r"])
KEYS = st.sampled_from("abcd")
PROMPT, TOKENS = 3, 12
QUIET_S = 1000.0


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


@dataclass
class Asked:
    """A request. `keys`: what may answer it; None: an error."""

    name: str
    keys: set[str | None]
    answer: "Future[str]"


class House:
    """A server without HTTP on one directory; the loop runs in a thread."""

    def __init__(
        self, directory: Path, loop: asyncio.AbstractEventLoop, disk: Disk
    ) -> None:
        self._loop = loop
        self.ahead = 0.0
        self.under_way: list[tuple[str, Future[Any]]] = []
        scheduler = Scheduler(
            POLICIES["affinity"](),
            SchedulerLimits(
                kv_tokens=1000,
                max_batch=4,
                max_waiting=1000,
                prefill_tokens=8,
                patience_s=0.025,
            ),
        )
        self.library = Library()
        self.engine = Engine(
            FakeModel(),
            scheduler,
            Store(max_loaded=2),  # fewer than there are names: some live on disk
            FakeTokenizer(),
            eos=frozenset({EOS}),
            context=500,
            fetch=self.library.fetch,
        )
        self.library.open(
            Catalogue(
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
            quiet_s=QUIET_S,
            seen=self.library.seen,
            found=self._found,
            gone=self._gone,
            polling=True,
            clock=lambda: time.time() + self.ahead,
        )
        self.engine.start()
        self.library.start()
        self.look()

    def _found(self, name: str, folder: Path, state: str) -> "Future[Found]":
        found = self.library.found(name, folder, state)
        self.under_way.append((name, found))
        return found

    def _gone(self, name: str) -> None:
        self.under_way.append((name, self.library.gone(name)))

    def look(self, held: str | None = None) -> None:
        """The watcher looks when everything has rested; all but `held` is done."""
        for self.ahead in (0, 100 * QUIET_S):
            self._watch.look()
            wait([future for name, future in self.under_way if name != held], 10)
            self.under_way = [(n, f) for n, f in self.under_way if not f.done()]
            assert all(name == held for name, _ in self.under_way)

    def ask(self, name: str, *, is_held: bool = False) -> "Future[str]":
        """A request that is accepted or refused already, unless its read is held."""
        is_told = threading.Event()
        work = self._answer(name, is_told)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        assert is_held or is_told.wait(10), "neither accepted nor refused"
        return future

    async def _answer(self, name: str, is_told: threading.Event) -> str:
        ticket = self.engine.open_ticket()
        self.engine.post(
            Submit(
                ticket=ticket,
                adapter=name,
                prompt=(PROMPT_TOKEN,) * PROMPT,
                max_tokens=TOKENS,
                sampling=SamplingParams(temperature=0),
            )
        )
        try:
            try:
                await ticket.accepted()
            finally:
                is_told.set()
            return "".join([piece.text async for piece in ticket.pieces()])
        finally:
            ticket.close()

    def close(self) -> None:
        self.engine.stop(10)
        self.library.stop()


class Life(RuleBasedStateMachine):
    """`served` is what each name has to answer as; `by_folder` whose files say so."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="life-"))
        for key in "abcd":
            self._write(self.directory / ".stock" / key, key)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.disk = Disk()
        self.held: str | None = None  # the one whose reads wait
        self.house = House(self.directory, self.loop, self.disk)
        self.folders: dict[str, str] = {}
        self.passed_over: set[str] = set()  # folders that stay away as they are
        self.served: dict[str, str] = {}
        self.registered: dict[str, str] = {}
        self.failed: set[str] = set()  # known by name, and not served
        # Broken after they were served: if the old content had left the memory, it is
        # nowhere any more, and an error is right, too.
        self.shaky: set[str] = set()
        self.asked: list[Asked] = []
        self.writes = 0

    def teardown(self) -> None:
        try:
            for name in ("p", "q", "r"):
                self._ask(name)
            self._hear()
        finally:
            self.house.close()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()
            shutil.rmtree(self.directory)

    def _write(self, folder: Path, key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text("{}")
        (folder / WEIGHTS_FILE).write_text(key)

    def _changed(self, name: str, content: str) -> None:
        """The watcher has seen a folder with new files."""
        self.writes += 1
        (self.directory / name / SIDECAR_FILE).write_text("#" * self.writes)
        self.folders[name] = content
        self.passed_over.discard(name)
        self.house.look(self.held)
        if name != self.held:
            self._take(name, content)

    def _take(self, name: str, content: str) -> None:
        """The library has read it."""
        if len(content) == 1:
            self.served[name] = content
            self.registered.pop(name, None)
            self.failed.discard(name)
            self.shaky.discard(name)
        elif name not in self.served:
            self.failed.add(name)
        else:
            self.shaky.add(name)

    @rule(name=NAMES, key=KEYS)
    def drop_or_replace(self, name: str, key: str) -> None:
        self._write(self.directory / name, key)
        self._changed(name, key)

    @rule(name=NAMES, key=KEYS)
    def rename_into_place(self, name: str, key: str) -> None:
        self._write(self.directory / f".{name}", key)
        shutil.rmtree(self.directory / name, ignore_errors=True)
        (self.directory / f".{name}").rename(self.directory / name)
        self._changed(name, key)

    @rule(name=NAMES)
    def half_copy(self, name: str) -> None:
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        (folder / CONFIG_FILE).write_text("{}")
        (folder / WEIGHTS_FILE).unlink(missing_ok=True)
        self._changed(name, "")

    @rule(name=NAMES)
    def break_files(self, name: str) -> None:
        self._write(self.directory / name, "broken")
        self._changed(name, "broken")

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name not in self.folders:
            return
        shutil.rmtree(self.directory / name)
        self.house.look(self.held)
        del self.folders[name]
        self.passed_over.discard(name)
        if name != self.held:
            self._part(name)

    def _part(self, name: str) -> None:
        if name not in self.registered:
            self.shaky.discard(name)
            self.served.pop(name, None)
            self.failed.discard(name)

    @rule(name=NAMES)
    def hold(self, name: str) -> None:
        """Its reads do not come back until they are let go."""
        self.let_go()
        self.held = name
        self.disk.hold(name)

    @rule()
    def let_go(self) -> None:
        name, self.held = self.held, None
        if name is None:
            return
        self.disk.let_go(name)
        self.house.look()  # its files may have changed under the first read
        self.house.look()
        if name not in self.folders:
            self._part(name)
        elif name not in self.passed_over:
            self._take(name, self.folders[name])
        for asked in self.asked:
            if asked.name == name:
                asked.keys |= self._answers(name)

    @rule(name=NAMES, key=KEYS, preload=st.booleans(), pin=st.booleans())
    def register(self, name: str, key: str, preload: bool, pin: bool) -> None:
        if name == self.held:
            return  # it would wait
        origin = Origin(src=f".stock/{key}", preload=preload, pin=pin and preload)
        future = self.house.library.register(name, origin)
        if name in self.served:
            assert isinstance(future.exception(10), AdapterExists)
            return
        assert future.result(10) == (key if preload else None)
        self.served[name] = self.registered[name] = key
        self.shaky.discard(name)
        self.failed.discard(name)
        if name in self.folders:
            self.passed_over.add(name)

    @rule(name=NAMES)
    def unregister(self, name: str) -> None:
        if name == self.held:
            return
        future = self.house.library.unregister(name)
        if name not in self.served and name not in self.failed:
            assert isinstance(future.exception(10), UnknownAdapter)
            return
        future.result(10)
        self.served.pop(name, None)
        self.failed.discard(name)
        self.registered.pop(name, None)
        self.shaky.discard(name)
        if name in self.folders:
            self.passed_over.add(name)

    @rule(name=NAMES, pin=st.booleans())
    def pin(self, name: str, pin: bool) -> None:
        if name == self.held:
            return
        future = self.house.library.update(name, pin=pin)
        known = name in self.served or name in self.failed
        assert isinstance(future.exception(10), UnknownAdapter) is not known

    @rule(name=NAMES)
    def request(self, name: str) -> None:
        self._ask(name)

    def _ask(self, name: str) -> None:
        answer = self.house.ask(name, is_held=name == self.held)
        self.asked.append(Asked(name, self._answers(name), answer))

    def _answers(self, name: str) -> set[str | None]:
        key = self.served.get(name)
        return {key, None} if name in self.shaky else {key}

    @rule()
    def hear_all(self) -> None:
        self._hear()

    def _hear(self) -> None:
        self.let_go()
        for asked in self.asked:
            error = asked.answer.exception(10)
            if error is None:
                texts = {expected(key, PROMPT, TOKENS) for key in asked.keys if key}
                assert asked.answer.result() in texts, asked
            else:
                assert None in asked.keys, (asked, error)
                assert isinstance(error, UnknownAdapter | StillLoading)
        self.asked.clear()

    @rule()
    def restart(self) -> None:
        self._hear()
        self.house.close()
        self.house = House(self.directory, self.loop, self.disk)
        self.served = dict(self.registered)
        self.failed, self.shaky = set(), set()
        for name, content in self.folders.items():
            if name in self.passed_over:
                continue
            if len(content) == 1:
                self.served[name] = content
                self.registered.pop(name, None)
            elif name not in self.served:
                self.failed.add(name)
            else:  # registered; its own source is whole
                self.shaky.discard(name)

    @invariant()
    def nothing_is_listed_that_is_not_known(self) -> None:
        listed = {each.name for each in self.house.engine.status.adapters}
        assert listed <= {"p", "q", "r"}


Life.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestLife = pytest.mark.slow(Life.TestCase)
