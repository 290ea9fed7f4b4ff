"""Library: the one thread that reads adapter files, one thing after another.

What the watcher found, what a client asked for and what the engine wants from the disk
wait in one line for the `Catalogue`, which decides. A client's answer comes after the
letter to the engine, so a request that follows it finds the adapter.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from hotswap.adapters.deltas import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import Sidecar
from hotswap.errand import errand
from hotswap.errors import AdapterRefused, HotswapError
from hotswap.library.catalogue import Catalogue

log = logging.getLogger(__name__)


class Library:
    """Called from any thread; futures raise what the catalogue does."""

    def __init__(self) -> None:
        self._catalogue: Catalogue
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="library")

    def open(self, catalogue: Catalogue) -> None:
        """Once, before `start`: the engine asks the library for adapters and the
        catalogue writes to the engine, so one of the two has to come later."""
        self._catalogue = catalogue

    def start(self) -> None:
        """Take up what the journal says. Blocks until it is read."""
        self._thread.submit(self._catalogue.restore).result()

    def stop(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    @property
    def sidecars(self) -> Mapping[str, Sidecar]:
        """What adapters' folders say of their requests, by name; a frozen copy."""
        return self._catalogue.sidecars

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names of adapters, to their own; a frozen copy."""
        return self._catalogue.aliases

    def register(
        self,
        name: str,
        origin: Origin,
        *,
        replace: bool = False,
        expected: str | None = None,
    ) -> "Future[str | None]":
        """Let `name` stand for a folder; its generation's key if it is preloaded."""
        return self._thread.submit(
            self._catalogue.register, name, origin, replace=replace, expected=expected
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
        return self._thread.submit(
            self._catalogue.update, name, changes, src, options or {}
        )

    def unregister(self, name: str) -> "Future[None]":
        """Forget a name; jobs that run finish."""
        return self._thread.submit(self._catalogue.unregister, name)

    def examine(self, src: str) -> "Future[Generation]":
        """The generation of a folder, checked and not served."""
        return self._thread.submit(self._catalogue.examine, src)

    def found(self, name: str, folder: Path, stamp: str) -> "Future[bool]":
        """A folder of the adapters directory came or changed; whether it is served."""
        return self._thread.submit(self._catalogue.found, name, folder, stamp)

    def gone(self, name: str) -> "Future[None]":
        """A folder of the adapters directory was removed."""
        return self._thread.submit(self._catalogue.gone, name)

    def fetch(self, name: str) -> None:
        """Read an adapter that a request waits for; a letter brings it or why not."""
        self._thread.submit(self._catalogue.fetch, name)


def reading(
    read: Callable[[Path], Generation],
) -> Callable[[Path], Generation]:
    """`read` as an errand that raises nothing but our own errors."""

    def load(folder: Path) -> Generation:
        try:
            return errand(partial(read, folder))
        except HotswapError:
            raise
        except Exception as error:
            # Whatever a stranger's files do to a parser, the others are served.
            log.exception("adapter %s could not be read", folder)
            raise AdapterRefused(
                "unreadable", f"{type(error).__name__}: {error}"
            ) from error

    return load
