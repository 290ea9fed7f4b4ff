"""An adapter's whole life, in any order: the right adapter answers, or nobody does.

Hypothesis drives a server without HTTP. Whatever is dropped, half copied, broken,
replaced, registered, pinned, removed or restarted, and in whatever order the reads of
its files finish: a request gets the generation that its name stood for when it was
accepted, from its first token to its last, or an error.
"""

import asyncio
import shutil
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.errors import AdapterExists, StillLoading, UnknownAdapter
from hotswap.library.orders import Registration, Update
from tests.fakes import expected
from tests.hotswap.expected_names import ExpectedNames
from tests.hotswap.headless import PROMPT, TOKENS, Disk, Headless

ALL_NAMES = ("p", "q", "r")
NAMES = st.sampled_from(ALL_NAMES)
KEYS = st.sampled_from("abcd")


@dataclass
class Asked:
    """A request. `keys`: what may answer it; None: an error."""

    name: str
    keys: set[str | None]
    answer: "Future[str]"


class Life(RuleBasedStateMachine):
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
        self.server = Headless(self.directory, self.loop, self.disk)
        self.names = ExpectedNames()
        self.asked: list[Asked] = []
        self.writes = 0

    def teardown(self) -> None:
        try:
            for name in ALL_NAMES:
                self._ask(name)
            self._hear()
        finally:
            self.server.close()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()
            shutil.rmtree(self.directory)

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
        if name in self.names.folders:
            shutil.rmtree(self.directory / name)
            self.names.delete(name)
            self._look(name)

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
        self.server.look()  # its files may have changed under the first read
        self._look(name)
        for asked in self.asked:
            if asked.name == name:
                asked.keys |= self.names.answers(name)

    @rule(name=NAMES, key=KEYS, preload=st.booleans(), pin=st.booleans())
    def register(self, name: str, key: str, preload: bool, pin: bool) -> None:
        if name == self.held:
            return  # it would wait
        origin = Origin(src=f".stock/{key}", preload=preload, pin=pin and preload)
        future = self.server.library.register(Registration(name=name, origin=origin))
        if name in self.names.served:
            assert isinstance(future.exception(10), AdapterExists)
            return
        assert future.result(10).generation == (key if preload else None)
        self.names.register(name, key)

    @rule(name=NAMES)
    def unregister(self, name: str) -> None:
        if name == self.held:
            return
        future = self.server.library.unregister(name)
        if not self.names.is_known(name):
            assert isinstance(future.exception(10), UnknownAdapter)
            return
        future.result(10)
        self.names.unregister(name)

    @rule(name=NAMES, pin=st.booleans())
    def pin(self, name: str, pin: bool) -> None:
        if name == self.held:
            return
        future = self.server.library.update(Update(name=name, pin=pin))
        is_unknown = isinstance(future.exception(10), UnknownAdapter)
        assert is_unknown is not self.names.is_known(name)

    @rule(name=NAMES)
    def request(self, name: str) -> None:
        self._ask(name)

    @rule()
    def hear_all(self) -> None:
        self._hear()

    @rule()
    def restart(self) -> None:
        self._hear()
        self.server.close()
        self.server = Headless(self.directory, self.loop, self.disk)
        self.names.restart()

    @invariant()
    def nothing_is_listed_that_is_not_known(self) -> None:
        listed = {each.name for each in self.server.engine.status.adapters}
        assert listed <= set(ALL_NAMES)

    def _write(self, folder: Path, key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text("{}")
        (folder / WEIGHTS_FILE).write_text(key)

    def _changed(self, name: str, content: str) -> None:
        self.writes += 1  # no two states of a folder are alike
        (self.directory / name / SIDECAR_FILE).write_text("#" * self.writes)
        self.names.change(name, content)
        self._look(name)

    def _look(self, changed: str) -> None:
        """The watcher sees what has changed, and the library reads it unless held."""
        self.server.look(self.held)
        if changed != self.held:
            self.names.read(changed)

    def _ask(self, name: str) -> None:
        answer = self.server.ask(name, is_held=name == self.held)
        self.asked.append(Asked(name, self.names.answers(name), answer))

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


Life.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestLife = pytest.mark.slow(Life.TestCase)
