"""Entries: what each name stands for, and what a request needs to know of it before it
reaches the engine. Owned by the library's thread."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import NOTHING, Sidecar
from hotswap.tokenizer import Tokenizer


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

    @property
    def is_unread(self) -> bool:
        return self.is_served and self.generation is None


class Entries:
    """`sidecars`, `aliases` and `tokenizers` are for readers on any thread: replaced
    whole, never changed, and without the names of which there is nothing to say."""

    def __init__(self) -> None:
        self._by_name: dict[str, Entry] = {}
        self.sidecars: Mapping[str, Sidecar] = {}
        self.aliases: Mapping[str, str] = {}  # to the adapter's own name
        # What prompts are encoded with; None: the adapter was not read yet
        self.tokenizers: Mapping[str, Tokenizer | None] = {}

    def get(self, name: str) -> Entry | None:
        return self._by_name.get(name)

    def others(self, name: str) -> list[Entry]:
        """All but that of `name`."""
        return [entry for n, entry in self._by_name.items() if n != name]

    def put(self, name: str, entry: Entry | None) -> None:
        """Let `name` stand for `entry`; None: for nothing."""
        self._by_name.pop(name, None)
        tokenizers = {n: t for n, t in self.tokenizers.items() if n != name}
        if entry is not None:
            self._by_name[name] = entry
            if entry.tokenizer is not None or entry.is_unread:
                tokenizers[name] = entry.tokenizer
        self.tokenizers = tokenizers
        if self.sidecars or (entry is not None and entry.sidecar != NOTHING):
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
