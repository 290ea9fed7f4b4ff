"""A library on a directory, with readers that read nothing but a key."""

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.engine.messages import Adopt, Amend, Loading, Message, Refuse, Retire
from hotswap.engine.sums import SumOrder
from hotswap.errors import AdapterRefused
from hotswap.library.adapter_sources import Sources
from hotswap.library.entries import Found
from hotswap.library.hooks import Hooks
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.library import Library
from hotswap.library.orders import Registered, Registration
from hotswap.library.registry import Registry
from hotswap.library.remote_sources import RemoteSources
from hotswap.short_thread import at_disk
from tests.fakes import LoudTokenizer, generation

LOUD = "l"  # a generation that brings its own tokenizer


def fake_read(folder: Path) -> Generation:
    """The generation whose key is the content of the weights file."""
    key = (folder / WEIGHTS_FILE).read_text()
    if key == "broken":
        raise AdapterRefused("bad_weights", f"{WEIGHTS_FILE} is broken")
    if key == "strange":
        raise RecursionError("deep")
    tokenizer = LoudTokenizer() if key == LOUD else None
    return dataclasses.replace(generation(key), tokenizer=tokenizer)


def fake_compose(order: SumOrder) -> Generation:
    return generation(order.key)


def no_descriptor(folder: Path) -> Generation:
    """As `fake_read`, when the process has no descriptors left."""
    raise AdapterRefused("no_weights", "too many open files", is_passing=True)


def make(folder: Path, key: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text("{}")
    (folder / WEIGHTS_FILE).write_text(key)
    return folder


class Desk:
    """A library on a directory, and the messages it wrote."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.messages: list[Message] = []  # but for Loading
        self.loading: list[str] = []  # names
        self.disk_patience_s = 15.0
        self.read: Callable[[Path], Generation] = fake_read
        self.remote = RemoteSources()
        self.sources: Sources | None = None
        self.library: Library

    def post(self, message: Message) -> None:
        if isinstance(message, Loading):
            self.loading.append(message.name)
        else:
            self.messages.append(message)

    def open(self, hooks: Hooks | None = None, **limits: int) -> Library:
        """Start it, as after a crash: nothing is left of the one before."""
        self.messages.clear()
        self.library = Library(disk_patience_s=self.disk_patience_s)
        self.library.open(
            Registry(
                self.read,
                self.post,
                compose=fake_compose,
                sources=self.sources or Sources([self.directory]),
                remote=self.remote,
                journal=Journal(self.directory / JOURNAL_FILE),
                hooks=hooks or Hooks(),
                max_adapters=limits.get("max_adapters", 100),
                max_pinned=limits.get("max_pinned"),
            )
        )
        self.library.start()
        return self.library

    def told(self) -> list[tuple[str, str, str | None]]:
        """What the engine was told since the last look."""
        said: list[tuple[str, str, str | None]] = []
        for message in self.messages:
            match message:
                case Adopt(name, found, _):
                    said.append(("adopt", name, found.key if found else None))
                case Amend(name, _):
                    said.append(("amend", name, None))
                case Refuse(name, reason, _):
                    said.append(("refuse", name, reason))
                case Retire(name):
                    said.append(("retire", name, None))
        self.messages.clear()
        return said

    def ask(
        self,
        name: str,
        src: str,
        *,
        replace: bool = False,
        expected: str | None = None,
        **asked: Any,
    ) -> "Future[Registered]":
        """Register a folder; `asked`: fields of its Origin."""
        order = Registration(
            name=name,
            origin=Origin(src=src, **asked),
            replace=replace,
            expected=expected,
        )
        return self.library.register(order)

    def register(self, name: str, src: str, **asked: Any) -> str | None:
        """The same, and wait for it."""
        return self.ask(name, src, **asked).result(10).generation

    def find(self, name: str, stamp: str = "1") -> bool:
        found = self.library.found(name, self.directory / name, stamp)
        return found.result(10) is Found.GOOD


class Slow:
    """A reader whose read of a key waits for the test; `at_disk`: for the disk."""

    def __init__(self, *keys: str, at_disk: bool = False) -> None:
        self._keys = keys
        self._at_disk = at_disk
        self.gate = threading.Event()
        self.begun = threading.Event()

    def __call__(self, folder: Path) -> Generation:
        if folder.name in self._keys:
            self.begun.set()
            with at_disk() if self._at_disk else nullcontext():
                assert self.gate.wait(20), "the test forgot a read"
        return fake_read(folder)
