"""Library: one thread decides what the names stand for, and reads nothing itself.

What the watcher found, what a client asked for and what the engine wants from the disk
are changes of the `Catalogue`. Those of one name wait in one line; what a change has to
read is read beside the thread, so a slow folder holds up its own name only. A client's
answer comes after the letter to the engine, so a request that follows it finds the
adapter.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import TypeVar

from hotswap.adapters.deltas import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import Sidecar
from hotswap.library.catalogue import Catalogue, Change
from hotswap.library.entries import Found
from hotswap.library.lines import Lines
from hotswap.tokenizer import Tokenizer

T = TypeVar("T")

START_S = 20.0  # so long at most a start waits for what is there to be read


class Library:
    """Called from any thread; futures raise what the catalogue does."""

    def __init__(self, *, patience_s: float = 15.0) -> None:
        """`patience_s`: how long the disk may take to answer."""
        self._catalogue: Catalogue
        self._lines = Lines(self._tick, patience_s=patience_s)

    def open(self, catalogue: Catalogue) -> None:
        """Once, before `start`: the engine asks the library for adapters and the
        catalogue writes to the engine, so one of the two has to come later."""
        self._catalogue = catalogue

    def start(self) -> None:
        """Take up what the journal says. Blocks until it is read, or `START_S`."""
        registered = self._catalogue.journal.registered.items()
        restored = [
            self._lines.ask(
                name, self._catalogue.restore(name, origin), is_urgent=False
            )
            for name, origin in registered
        ]
        self._lines.start()
        wait(restored, START_S)

    def stop(self) -> None:
        """What was not begun is not done. Waits for no file."""
        self._lines.stop()

    @property
    def is_alive(self) -> bool:
        return self._lines.is_alive

    @property
    def trouble(self) -> tuple[str, ...]:
        """What is wrong with the disk, in a line each. For any thread."""
        journal = self._catalogue.journal.trouble
        lines = (journal,) if journal else ()
        if self._lines.stuck:
            return (*lines, f"{self._lines.stuck} adapters' files do not come back")
        return lines

    @property
    def sidecars(self) -> Mapping[str, Sidecar]:
        """What adapters' folders say of their requests, by name; a frozen copy."""
        return self._catalogue.entries.sidecars

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names of adapters, to their own; a frozen copy."""
        return self._catalogue.entries.aliases

    @property
    def tokenizers(self) -> Mapping[str, Tokenizer | None]:
        """What adapters' prompts are encoded with where it is not the model's, by name;
        None if the adapter has to be read first: `learn` it. A frozen copy."""
        return self._catalogue.entries.tokenizers

    def learn(self, name: str) -> "Future[None]":
        """Read an adapter that has not been read yet."""
        return self._lines.ask(name, self._catalogue.learn(name))

    def register(
        self,
        name: str,
        origin: Origin,
        *,
        replace: bool = False,
        expected: str | None = None,
    ) -> "Future[str | None]":
        """Let `name` stand for a folder; its generation's key if it is preloaded."""
        return self._lines.ask(
            name,
            self._catalogue.register(name, origin, replace=replace, expected=expected),
        )

    def update(
        self,
        name: str,
        *,
        preload: bool | None = None,
        pin: bool | None = None,
        alias: str | None = None,
        src: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> "Future[None]":
        """Change what is given."""
        given = {"preload": preload, "pin": pin, "alias": alias}
        changes = {key: value for key, value in given.items() if value is not None}
        return self._lines.ask(
            name, self._catalogue.update(name, changes, src, options or {})
        )

    def unregister(self, name: str) -> "Future[None]":
        """Forget a name; jobs that run finish."""
        return self._lines.ask(
            name, _at_once(partial(self._catalogue.unregister, name))
        )

    def examine(self, src: str) -> "Future[Generation]":
        """The generation of a folder, checked and not served."""
        return self._lines.ask(object(), self._catalogue.examine(src))

    def seen(self, name: str, folder: Path) -> None:
        """A folder of the adapters directory is there, perhaps not whole yet."""
        self._lines.ask(name, _at_once(partial(self._catalogue.seen, name, folder)))

    def found(self, name: str, folder: Path, stamp: str) -> "Future[Found]":
        """A folder of the adapters directory came or changed."""
        change = self._catalogue.found(name, folder, stamp)
        return self._lines.ask(name, change, is_urgent=False)

    def gone(self, name: str) -> "Future[None]":
        """A folder of the adapters directory was removed."""
        return self._lines.ask(name, _at_once(partial(self._catalogue.gone, name)))

    def moved(self) -> None:
        """The adapters directory is another one now, and the journal lies in it."""
        self._lines.do(self._catalogue.journal.moved)

    def fetch(self, name: str) -> None:
        """Read an adapter that a request waits for; a letter brings it or why not."""
        self._lines.ask(name, self._catalogue.fetch(name))

    def _tick(self) -> bool:
        """Whether the journal is behind, after a try."""
        journal = self._catalogue.journal
        if journal.is_behind:
            journal.catch_up()
        return journal.is_behind


def _at_once(work: Callable[[], T]) -> Change[T]:
    """A change that reads nothing."""
    yield from ()
    return work()
