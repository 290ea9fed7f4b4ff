"""Library: one thread decides what the names stand for, and reads nothing itself.

What the watcher found, what a client asked for and what the engine wants from the disk
are transactions of the `Registry`. Those of one name wait in one queue; what one has to
read is read beside the thread, so a slow folder holds up its own name only. A client's
answer comes after the message to the engine, so a request that follows it finds the
adapter.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path

from hotswap.adapters.generation import Generation
from hotswap.adapters.sidecar import Sidecar
from hotswap.engine.sums import SumOrder
from hotswap.library.entries import Found
from hotswap.library.followed import followed
from hotswap.library.journal import Note
from hotswap.library.name_queues import NameQueues
from hotswap.library.orders import Registered, Registration, Update
from hotswap.library.registry import Registry
from hotswap.library.transaction import at_once
from hotswap.tokenizer import Tokenizer

Asked = Mapping[str, Future[None]]

START_S = 20.0  # so long at most a start waits for what is there to be read


class Library:
    """Called from any thread; futures raise what the registry does."""

    def __init__(self, *, disk_patience_s: float = 15.0) -> None:
        """`disk_patience_s`: how long the disk may take to answer."""
        self._registry: Registry
        self._queues = NameQueues(self._tick, disk_patience_s=disk_patience_s)

    def open(self, registry: Registry) -> None:
        """Once, before `start`: the engine asks the library for adapters and the
        registry writes to the engine, so one of the two has to come later."""
        self._registry = registry

    def start(self) -> None:
        """Take up what the journal says. Blocks until it is read, or `START_S`."""
        registered = self._registry.journal.registered.items()
        restored = [
            self._queues.ask(
                name, self._registry.restore(name, origin), is_urgent=False
            )
            for name, origin in registered
        ]
        self._queues.start()
        wait(restored, START_S)

    def stop(self) -> None:
        """What was not begun is not done. Waits for no file."""
        self._queues.stop()

    @property
    def is_alive(self) -> bool:
        return self._queues.is_alive

    @property
    def trouble(self) -> tuple[str, ...]:
        """What is wrong with the disk, in a line each. For any thread."""
        journal = self._registry.journal.trouble
        lines = (journal,) if journal else ()
        if self._queues.stuck:
            return (*lines, f"{self._queues.stuck} adapters' files do not come back")
        return lines

    @property
    def sidecars(self) -> Mapping[str, Sidecar]:
        """What adapters' folders say of their requests, by name; a frozen copy."""
        return self._registry.entries.sidecars

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names of adapters, to their own; a frozen copy."""
        return self._registry.entries.aliases

    @property
    def sums(self) -> Mapping[str, str]:
        """Sums of adapters that have a name, as they are written; a frozen copy."""
        return self._registry.entries.sums

    @property
    def refusals(self) -> Mapping[str, str]:
        """The stable codes of what is wrong with files that were refused, by name; a
        frozen copy."""
        return self._registry.entries.refusals

    @property
    def tokenizers(self) -> Mapping[str, Tokenizer | None]:
        """What adapters' prompts are encoded with where it is not the model's, by name;
        None if the adapter has to be read first: `learn` it. A frozen copy."""
        return self._registry.entries.tokenizers

    def learn(self, name: str) -> "Future[None]":
        """Read an adapter that has not been read yet."""
        return self._queues.ask(name, self._registry.learn(name))

    def register(self, order: Registration) -> "Future[Registered]":
        """Its generation is None unless it is preloaded."""
        return self._queues.ask(order.name, self._registry.register(order))

    def update(self, order: Update) -> "Future[str | None]":
        """Change what is given. What a hook says of it, to be told."""
        return self._queues.ask(order.name, self._registry.update(order))

    def unregister(self, name: str) -> "Future[str | None]":
        """Forget a name; jobs that run finish. What is fetched for it is not wanted any
        more. What a hook says of it, to be told."""
        return self._queues.ask(name, self._registry.unregister(name), cancels=True)

    def examine(self, src: str) -> "Future[Generation]":
        """The generation of a folder, checked and not served."""
        return self._queues.ask(object(), self._registry.examine(src))

    def seen(self, name: str, folder: Path) -> None:
        """A folder of the adapters directory is there, perhaps not whole yet."""
        self._queues.ask(name, at_once(partial(self._registry.seen, name, folder)))

    def found(self, name: str, folder: Path, stamp: str) -> "Future[Found]":
        """A folder of the adapters directory came or changed."""
        found = self._registry.found(name, folder, stamp)
        return self._queues.ask(name, found, is_urgent=False)

    def gone(self, name: str) -> "Future[None]":
        """A folder of the adapters directory was removed."""
        return self._queues.ask(name, at_once(partial(self._registry.gone, name)))

    def follow(
        self, notes: Mapping[str, Note], is_current: Callable[[], bool]
    ) -> "Future[Asked | None]":
        """Do as the journal says since others have written it. What is under way for
        that, by name; None if it is to be read again, as `is_current` says on the
        library's thread."""
        future: Future[Asked | None] = Future()
        self._queues.do(partial(self._follow, notes, is_current, future))
        return future

    def moved(self) -> None:
        """The adapters directory is another one now, and the journal lies in it."""
        self._queues.do(self._registry.journal.moved)

    def fetch(self, name: str) -> None:
        """Read an adapter that a request waits for; a message brings it or why not."""
        self._queues.ask(name, self._registry.fetch(name))

    def compose(self, order: SumOrder) -> None:
        """Make a sum that a request waits for; a message brings it or why not."""
        self._queues.ask(object(), self._registry.compose(order))

    def _follow(
        self,
        notes: Mapping[str, Note],
        is_current: Callable[[], bool],
        future: "Future[Asked | None]",
    ) -> None:
        registry = self._registry
        parts = registry.journal, registry.entries, registry.restore
        here = registry.journal.notes
        changed = [n for n in {**here, **notes} if here.get(n) != notes.get(n)]
        asked = {
            name: self._queues.ask(
                name, followed(*parts, name, seen=here.get(name), note=notes.get(name))
            )
            for name in (changed if is_current() else ())
        }
        future.set_result(asked if is_current() else None)

    def _tick(self) -> bool:
        """Whether the journal is behind, after a try."""
        journal = self._registry.journal
        if journal.is_behind:
            journal.catch_up()
        return journal.is_behind
