"""Store: the adapters known by name, their generations, and who leases them.

A job leases the generation its name stood for when it was submitted. A generation stays
in host memory while somebody leases it, and while a name stands for it and there is
room: the least recently leased one leaves first, a pinned one never. One that has left
is read again when it is asked for. Owned by the engine thread; others get `adapters()`,
a frozen copy. Knows no files and no weights.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence, Set

from hotswap.adapters.adapter_info import AdapterInfo, GenerationInfo
from hotswap.adapters.generation import Generation
from hotswap.adapters.host_memory import HostMemory
from hotswap.adapters.listing import Listing
from hotswap.adapters.origin import Origin
from hotswap.adapters.reserved_names import why_reserved
from hotswap.adapters.store_entry import StoreEntry
from hotswap.errors import OtherTokenizer, StillLoading, UnknownAdapter
from hotswap.tokenizer import Tokenizer


class Store:
    def __init__(
        self,
        reserved: Set[str] = frozenset(),
        *,
        max_loaded: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """`reserved`: names of the bare model, besides `base`, that nobody may take.

        `max_loaded`, `max_bytes`: what may stay in host memory without a lease or pin.
        """
        self._reserved = reserved
        self._entries: dict[str, StoreEntry] = {}
        self._loaded = HostMemory(max_loaded, max_bytes)
        self._leases: Counter[str] = Counter()
        self._names: defaultdict[str, set[str]] = defaultdict(set)  # of a generation
        self._listing = Listing(self._row)

    def adopt(
        self, name: str, generation: Generation | None, origin: Origin
    ) -> list[str]:
        """Make `generation` what `name` stands for. Returns keys dropped by it.

        None: the name is known, its files are read when it is asked for. The bare
        model's names are refused, and the generation with them.
        """
        if reason := why_reserved(name, self._reserved):
            self.refuse(name, reason, origin)
            return []
        entry = self._entries.setdefault(name, StoreEntry(origin))
        old = entry.key
        entry.origin, entry.reason, entry.is_served = origin, None, True
        entry.is_loading = False
        self._listing.stale.add(name)
        if generation is None:  # and nothing older may answer until it is
            entry.info = GenerationInfo()
            return self._unname(name, old) if old is not None else []
        key = generation.key
        entry.info = generation.info
        self._names[key].add(name)
        nameless = all(self._is_nameless(each) for each in self._names[key])
        if self._loaded.add(generation, is_nameless=nameless):
            self._listing.stale |= self._names[key]
        dropped = self._unname(name, old) if old is not None and old != key else []
        return dropped + self._make_room(keep=key)

    def amend(self, name: str, origin: Origin) -> list[str]:
        """Note what was asked for `name` now. Returns keys dropped by it."""
        entry = self._entries[name]
        entry.origin = origin
        self._listing.stale.add(name)
        if (key := entry.key) and key in self._loaded and not self._is_wanted(key):
            return self._unload(key)
        return self._make_room()

    def _is_wanted(self, key: str) -> bool:
        """Whether any name wants it in memory before it is asked for."""
        origins = (self._entries[name].origin for name in self._names[key])
        return any(origin.preload or origin.pin for origin in origins)

    def expect(self, name: str, origin: Origin) -> None:
        """Its files are being read: a name that is not served is loading."""
        self._listing.stale.add(name)
        entry = self._entries.setdefault(name, StoreEntry(origin))
        if not entry.is_served:
            entry.reason, entry.is_loading = None, True

    def refuse(
        self, name: str, reason: str, origin: Origin, *, is_passing: bool = False
    ) -> bool:
        """Note why the files under `name` are not served. Returns whether that is news.

        A generation in memory stays. So does one on disk if the reason is passing.
        """
        self._listing.stale.add(name)
        entry = self._entries.setdefault(name, StoreEntry(origin))
        is_news = entry.reason != reason
        entry.reason, entry.is_loading = reason, False
        if entry.key not in self._loaded and not is_passing:
            entry.is_served = False
        return is_news

    def retire(self, name: str) -> list[str]:
        """Forget `name`. Returns the keys dropped by it; leased ones live on."""
        self._listing.stale.add(name)
        entry = self._entries.pop(name, None)
        if entry is None or entry.key is None:
            return []
        return self._unname(name, entry.key)

    def fail(self, generation: Generation, reason: str) -> None:
        """No name stands for `generation` any more: it cannot be run."""
        for name in self._names.pop(generation.key, set()):
            if self._is_nameless(name):  # it is made anew if it is asked for
                self._forget(name)
                continue
            entry = self._entries[name]
            entry.info, entry.is_served, entry.reason = GenerationInfo(), False, reason
            self._listing.stale.add(name)

    def is_on_disk(self, name: str) -> bool:
        """Whether `name` is served, but has to be read before it can be leased."""
        entry = self._entries.get(name)
        return entry is not None and entry.is_served and entry.key not in self._loaded

    def origin(self, name: str) -> Origin | None:
        """None if nobody is called so."""
        entry = self._entries.get(name)
        return entry.origin if entry is not None else None

    def standing(self, name: str) -> str | None:
        """The key that `name` stands for now; None if it was never read.

        Raises UnknownAdapter and StillLoading.
        """
        entry = self._entries.get(name)
        if entry is not None and entry.is_loading:
            raise StillLoading(name)
        if entry is None or not entry.is_served:
            raise UnknownAdapter(name, entry.reason if entry else None)
        return entry.key

    def stands_for(self, name: str, key: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.is_served and entry.key == key

    def loaded(self, key: str | None) -> Generation | None:
        """The generation of that key, if it is in memory."""
        return self._loaded[key] if key is not None and key in self._loaded else None

    def lease(self, name: str, tokenizer: Tokenizer | None = None) -> Generation:
        """The generation `name` stands for now, counted. The name must not be on disk.

        Raises UnknownAdapter, StillLoading, and OtherTokenizer if it takes no prompts
        from `tokenizer`; None is the model's.
        """
        key = self.standing(name)
        assert key is not None, "asked for before it was read"
        if self._loaded[key].tokenizer is not tokenizer:
            raise OtherTokenizer(name)
        self._entries[name].requests += 1
        self._leases[key] += 1
        self._listing.stale |= self._names[key]
        return self._loaded.use(key)

    def check_room(self, sizes: Sequence[int]) -> None:
        """Whether the sums that are to be made, of so many bytes at most, may be there
        beside those in use. Raises Overloaded, and NoRoom for one that never may."""
        self._loaded.check_room(sizes, lambda key: self._leases[key] > 0)

    def release(self, generation: Generation) -> list[str]:
        """Give a lease back. Returns the keys dropped by it."""
        self._listing.stale |= self._names.get(generation.key, set())
        self._leases[generation.key] -= 1
        return self._let_go(generation.key) or self._make_room()

    @property
    def pinned(self) -> frozenset[str]:
        """Keys of generations that some name pins."""
        return frozenset(
            entry.key
            for entry in self._entries.values()
            if entry.origin.pin and entry.key is not None
        )

    @property
    def loaded_bytes(self) -> int:
        """Host memory that adapters take."""
        return self._loaded.nbytes

    def adapters(self) -> tuple[AdapterInfo, ...]:
        """All adapters, by name. The same tuple until something changes."""
        return self._listing.rows(self._entries.keys())

    def _row(self, name: str) -> AdapterInfo:
        entry, key = self._entries[name], self._entries[name].key
        leases = self._leases[key] if key else 0
        return entry.row(name, is_loaded=key in self._loaded, leases=leases)

    def _is_nameless(self, name: str) -> bool:
        return self._entries[name].origin.is_nameless(name)

    def _unname(self, name: str, key: str) -> list[str]:
        names = self._names[key]
        names.discard(name)
        if not names:
            del self._names[key]
        return self._let_go(key)

    def _let_go(self, key: str) -> list[str]:
        """Drop a generation that nothing holds any more."""
        if self._leases[key]:
            return []
        del self._leases[key]
        return [] if key in self._names else self._unload(key)

    def _make_room(self, keep: str | None = None) -> list[str]:
        """Unload the least recently leased while there are too many."""
        if not self._loaded.is_full:
            return []
        kept = self.pinned | {
            entry.key  # its files were replaced by bad ones: it could not be read again
            for entry in self._entries.values()
            if entry.reason is not None
        }
        excess = self._loaded.excess({*kept, keep})
        return [dropped for key in excess for dropped in self._unload(key)]

    def _unload(self, key: str) -> list[str]:
        if self._leases.get(key) or key not in self._loaded:
            return []
        self._loaded.drop(key)
        names = self._names.get(key, set())
        self._listing.stale |= names
        for name in list(filter(self._is_nameless, names)):
            names.discard(name)
            self._forget(name)
        if not names:
            self._names.pop(key, None)
        return [key]

    def _forget(self, name: str) -> None:
        """A sum that nobody named is known for as long as it is in memory."""
        del self._entries[name]
        self._listing.stale.add(name)
