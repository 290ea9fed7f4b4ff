"""Store: the adapters known by name, their generations, and who leases them.

A job leases the generation its name stood for when it was submitted. A generation is
dropped when no name stands for it and nobody leases it. Owned by the engine thread;
readers get `listing()`, a frozen copy. Knows no files and no weights.
"""

from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import dataclass
from enum import Enum

from hotswap.adapters.deltas import Generation
from hotswap.errors import UnknownAdapter
from scheduler.job import BASE


class AdapterState(Enum):
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One adapter as the world may see it. A ready one with a `reason` still serves
    its old generation because the new files were refused."""

    name: str
    state: AdapterState
    generation: str | None
    reason: str | None
    rank: int | None
    modules: int | None
    nbytes: int | None
    leases: int
    requests: int


@dataclass(slots=True)
class _Entry:
    generation: Generation | None = None
    reason: str | None = None
    requests: int = 0


class Store:
    def __init__(self, reserved: Set[str] = frozenset()) -> None:
        """`reserved`: names of the bare model, besides `base`, that nobody may take."""
        self._reserved = reserved
        self._entries: dict[str, _Entry] = {}
        self._leases: Counter[str] = Counter()
        self._uses: Counter[str] = Counter()  # names and leases that hold a generation
        self._names: defaultdict[str, set[str]] = defaultdict(set)  # of a generation
        self._rows: dict[str, Listing] = {}  # by name, sorted
        self._stale: set[str] = set()  # names whose row is out of date
        self._listing: tuple[Listing, ...] = ()

    def adopt(self, name: str, generation: Generation) -> list[str]:
        """Make `generation` what `name` stands for. Returns keys dropped by it.

        The bare model's names are refused, and the generation with them.
        """
        if is_base(name) or name in self._reserved:
            self.refuse(name, f"the name `{name}` is the bare model's")
            return [generation.key] if not self._uses[generation.key] else []
        entry = self._entries.setdefault(name, _Entry())
        old, entry.generation, entry.reason = entry.generation, generation, None
        self._stale.add(name)
        self._uses[generation.key] += 1
        dropped = self._unname(name, old) if old else []
        self._names[generation.key].add(name)
        return dropped

    def refuse(self, name: str, reason: str) -> None:
        """Note why the files under `name` are not served; a generation stays."""
        self._stale.add(name)
        self._entries.setdefault(name, _Entry()).reason = reason

    def retire(self, name: str) -> list[str]:
        """Forget `name`. Returns the keys dropped by it; leased ones live on."""
        self._stale.add(name)
        entry = self._entries.pop(name, None)
        if entry is None or entry.generation is None:
            return []
        return self._unname(name, entry.generation)

    def fail(self, generation: Generation, reason: str) -> None:
        """No name stands for `generation` any more: it cannot be run."""
        for name in self._names.pop(generation.key, set()):
            entry = self._entries[name]
            entry.generation, entry.reason = None, reason
            self._stale.add(name)
            self._uses[generation.key] -= 1

    def lease(self, name: str) -> Generation:
        """The generation `name` stands for now, counted. Raises UnknownAdapter."""
        entry = self._entries.get(name)
        if entry is None or entry.generation is None:
            raise UnknownAdapter(name, entry.reason if entry else None)
        entry.requests += 1
        self._stale |= self._names[entry.generation.key]
        self._leases[entry.generation.key] += 1
        self._uses[entry.generation.key] += 1
        return entry.generation

    def release(self, generation: Generation) -> list[str]:
        """Give a lease back. Returns the key if that was the last use of it."""
        self._stale |= self._names.get(generation.key, set())
        self._leases[generation.key] -= 1
        return self._let_go(generation)

    def listing(self) -> tuple[Listing, ...]:
        """All adapters, by name. The same tuple until something changes.

        Asked for at each step: only what changed is looked at again.
        """
        if self._stale:
            if self._rows.keys() != self._entries.keys():
                self._rows = {
                    name: self._rows.get(name) or self._list(name)
                    for name in sorted(self._entries)
                }
            for name in self._stale & self._rows.keys():
                self._rows[name] = self._list(name)
            self._stale.clear()
            self._listing = tuple(self._rows.values())
        return self._listing

    def _list(self, name: str) -> Listing:
        entry = self._entries[name]
        held = entry.generation
        return Listing(
            name=name,
            state=AdapterState.READY if held else AdapterState.FAILED,
            generation=held.key if held else None,
            reason=entry.reason,
            rank=held.rank if held else None,
            modules=len(held.deltas) if held else None,
            nbytes=held.nbytes if held else None,
            leases=self._leases[held.key] if held else 0,
            requests=entry.requests,
        )

    def _unname(self, name: str, generation: Generation) -> list[str]:
        names = self._names[generation.key]
        names.discard(name)
        if not names:
            del self._names[generation.key]
        return self._let_go(generation)

    def _let_go(self, generation: Generation) -> list[str]:
        self._uses[generation.key] -= 1
        if self._uses[generation.key]:
            return []
        del self._uses[generation.key], self._leases[generation.key]
        return [generation.key]


def is_base(name: str) -> bool:
    """Whether a request that names `name` asks for the bare model."""
    return name in ("", BASE)
