"""Entries: what each name stands for now. The engine hears of every change.

Owned by the library's thread.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import NOTHING, Sidecar
from hotswap.engine.messages import (
    Adopt,
    Amend,
    Composed,
    Loading,
    Message,
    Refuse,
    Retire,
)
from hotswap.engine.sums import SumOrder
from hotswap.errors import AdapterRefused, HotswapError
from hotswap.sources.cache_users import Held
from hotswap.tokenizer import Tokenizer

log = logging.getLogger(__name__)


class Found(Enum):
    """What became of a folder that was found."""

    GOOD = "good"
    BAD = "bad"  # its files are refused as they are
    AGAIN = "again"  # they could not be read just now


@dataclass(frozen=True, slots=True)
class Entry:
    folder: Path
    origin: Origin
    sidecar: Sidecar = NOTHING
    stamp: str = ""  # state of a watched folder
    generation: str | None = None  # key of what was last read
    is_served: bool = True  # False: the files were refused and nothing older serves
    tokenizer: Tokenizer | None = None  # its own, of what was last read
    held: Held | None = None  # what was fetched stays as long as this

    @property
    def is_unread(self) -> bool:
        is_sum = self.origin.composition is not None
        return self.is_served and self.generation is None and not is_sum


class Entries:
    """`sidecars`, `aliases`, `sums`, `tokenizers` and `refusals` are for readers on any
    thread, most of whom need them before a request reaches the engine: replaced whole,
    never changed, and without the names of which there is nothing to say."""

    def __init__(self, post: Callable[[Message], None]) -> None:
        self._post = post
        self._by_name: dict[str, Entry] = {}
        self._loading: set[str] = set()  # told to the engine, and no entry yet
        self.sidecars: Mapping[str, Sidecar] = {}
        self.aliases: Mapping[str, str] = {}  # to the adapter's own name
        self.sums: Mapping[str, str] = {}  # those that have a name, as they are written
        # What prompts are encoded with; None: the adapter was not read yet
        self.tokenizers: Mapping[str, Tokenizer | None] = {}
        self.refusals: Mapping[str, str] = {}  # the code of each that is refused

    def get(self, name: str) -> Entry | None:
        return self._by_name.get(name)

    def others(self, name: str) -> list[Entry]:
        """All but that of `name`."""
        return [entry for n, entry in self._by_name.items() if n != name]

    def is_loading(self, name: str) -> bool:
        return name in self._loading

    def expect(self, name: str, origin: Origin) -> None:
        """Its files have been seen, and are read."""
        self._loading.add(name)
        self._post(Loading(name, origin))

    def serve(self, name: str, entry: Entry, generation: Generation | None) -> None:
        """None: it is read when it is asked for."""
        entry = replace(
            entry,
            is_served=True,
            generation=generation.key if generation else None,
            tokenizer=generation.tokenizer if generation else None,
        )
        self._put(name, entry)
        if generation is not None and generation.warnings:
            log.warning("adapter name=%r: %s", name, "; ".join(generation.warnings))
        self._post(Adopt(name, generation, entry.origin))

    def amend(self, name: str, entry: Entry) -> None:
        """The same generation; what was asked for it is another."""
        self._put(name, entry)
        self._post(Amend(name, entry.origin))

    def refuse(self, name: str, entry: Entry, error: HotswapError) -> None:
        """`entry`: what it stands for all the same."""
        self._put(name, entry)
        if isinstance(error, AdapterRefused):
            self.refusals = {**self.refusals, name: error.code}
        # A registered name keeps its own source, whatever folder was dropped there.
        is_readable = entry.is_served and not entry.origin.is_watched
        self._post(
            Refuse(name, str(error), entry.origin, is_readable, error.is_passing)
        )

    def retire(self, name: str) -> None:
        self._put(name, None)
        self._post(Retire(name))

    def composed(self, order: SumOrder, made: Generation | HotswapError) -> None:
        """A sum that a request waits for. It is no entry."""
        self._post(Composed(order, made))

    def forget(self, name: str) -> None:
        """Nothing comes of a folder that was seen."""
        if name in self._loading:
            self._loading.discard(name)
            if self.get(name) is None:
                self._post(Retire(name))

    def _put(self, name: str, entry: Entry | None) -> None:
        self._loading.discard(name)
        self._by_name.pop(name, None)
        if name in self.refusals:
            self.refusals = {n: c for n, c in self.refusals.items() if n != name}
        composition = entry.origin.composition if entry is not None else None
        if composition is not None or name in self.sums:
            sums = {n: written for n, written in self.sums.items() if n != name}
            self.sums = sums if composition is None else {**sums, name: composition}
        tokenizers = {n: t for n, t in self.tokenizers.items() if n != name}
        if entry is not None:
            self._by_name[name] = entry
            if entry.tokenizer is not None or entry.is_unread:
                tokenizers[name] = entry.tokenizer
        self.tokenizers = tokenizers
        if self.sidecars or (entry is not None and entry.sidecar != NOTHING):
            self._read_sidecars()

    def _read_sidecars(self) -> None:
        said = {n: e.sidecar for n, e in self._by_name.items()}
        self.sidecars = {n: s for n, s in said.items() if s != NOTHING}
        claims = Counter(a for s in self.sidecars.values() for a in s.aliases)
        # What two adapters claim is neither's: the wrong one must not answer.
        self.aliases = {
            alias: n
            for n, sidecar in self.sidecars.items()
            for alias in sidecar.aliases
            if alias not in self._by_name and claims[alias] == 1
        }


def kept(known: Entry | None, refused: Entry) -> Entry:
    """What a name stands for after its folder was refused."""
    if known is None or not known.is_served:
        return replace(refused, is_served=False)
    if known.origin.is_watched:
        return replace(known, stamp=refused.stamp)
    return known
