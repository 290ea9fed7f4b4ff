"""Catalogue: which names stand for which folders, and the rules of every change.

Each change is checked whole before anything is changed: name, source, room, files,
hooks; then it is noted in the journal, and only then told to the engine by letter.
The folder is the first truth: one dropped under a name that a client registered takes
the name over. Owned by the library's thread; knows no threads.
"""

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hotswap.adapters.deltas import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.sidecar import NOTHING, Sidecar, read_sidecar
from hotswap.engine.letters import Adopt, Amend, Letter, Refuse, Retire
from hotswap.errors import (
    AdapterExists,
    BadRequest,
    GenerationMismatch,
    HotswapError,
    NoRoom,
    UnknownAdapter,
)
from hotswap.library.hooks import Hooks
from hotswap.library.journal import Journal, Note
from hotswap.library.sources import Sources, check_name

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    folder: Path
    origin: Origin
    sidecar: Sidecar = NOTHING
    stamp: str = ""  # state of a watched folder
    generation: str | None = None  # key of what was last read
    is_served: bool = True  # False: the files were refused and nothing older serves


class Catalogue:
    def __init__(
        self,
        read: Callable[[Path], Generation],
        post: Callable[[Letter], None],
        *,
        sources: Sources,
        journal: Journal,
        hooks: Hooks,
        max_adapters: int,
        max_pinned: int | None,
    ) -> None:
        self._read = read
        self._post = post
        self._sources = sources
        self._journal = journal
        self._hooks = hooks
        self._max_adapters = max_adapters
        self._max_pinned = max_pinned
        self._entries: dict[str, _Entry] = {}
        # For readers on any thread: replaced whole, never changed
        self.sidecars: Mapping[str, Sidecar] = {}
        self.aliases: Mapping[str, str] = {}  # to the adapter's own name

    def restore(self) -> None:
        for name, note in sorted(self._journal.notes.items()):
            if note.origin is None or note.origin.is_watched:
                continue  # the watcher will tell whether its folder is there
            origin = note.origin
            try:
                folder = self._sources.find(origin.src)
                sidecar = read_sidecar(folder)
                generation = self._load(folder, sidecar) if origin.preload else None
                self._hooks.register(name, origin)
            except HotswapError as error:
                entry = _Entry(Path(origin.src), origin, is_served=False)
                self._refuse(name, entry, str(error))
                continue
            self._serve(name, _Entry(folder, origin, sidecar), generation)

    def register(
        self, name: str, origin: Origin, *, replace: bool, expected: str | None
    ) -> str | None:
        check_name(name)
        known = self._entries.get(name)
        if known is not None and known.is_served and not replace:
            raise AdapterExists(name)
        if expected is not None:
            now = known.generation if known and known.is_served else None
            if (now or "") != expected:
                raise GenerationMismatch(name, expected, now)
        folder = self._sources.find(origin.src)
        self._check_room(name, origin)
        sidecar = read_sidecar(folder)
        generation = self._load(folder, sidecar) if origin.preload else None
        self._hooks.register(name, origin)
        self._journal.write(name, Note(origin=origin, gone=self._passed_over(name)))
        self._serve(name, _Entry(folder, origin, sidecar), generation)
        return generation.key if generation else None

    def update(
        self,
        name: str,
        changes: Mapping[str, object],
        src: str | None,
        options: Mapping[str, str],
    ) -> None:
        entry = self._known(name)
        if src is not None and src != entry.origin.src:
            raise BadRequest("Updating adapter path is not supported.", "src")
        origin = dataclasses.replace(
            entry.origin,
            **changes,  # type: ignore[arg-type]  # values of its own fields
            options={**entry.origin.options, **options},
        )
        self._check_room(name, origin)
        wanted = origin.preload and not entry.origin.preload
        generation = self._load(entry.folder, entry.sidecar) if wanted else None
        self._hooks.update(name, origin)
        self._journal.write(name, _note_of(origin))
        entry = dataclasses.replace(entry, origin=origin)
        if generation is not None:
            self._serve(name, entry, generation)
        else:
            self._entries[name] = entry
            self._post(Amend(name, origin))

    def unregister(self, name: str) -> None:
        self._known(name)
        self._hooks.unregister(name)
        gone = self._passed_over(name)
        self._journal.write(name, Note(gone=gone) if gone else None)
        self._retire(name)

    def examine(self, src: str) -> Generation:
        folder = self._sources.find(src)
        return self._load(folder, read_sidecar(folder))

    def found(self, name: str, folder: Path, stamp: str) -> bool:
        note = self._journal.notes.get(name)
        if note is not None and note.gone == stamp:
            return True  # somebody unregistered it, or took its name, as it is
        known = self._entries.get(name)
        noted = note.origin if note and note.origin and note.origin.is_watched else None
        origin = noted or Origin(src=str(folder), is_watched=True)
        entry = _Entry(folder, origin, stamp=stamp)
        try:
            check_name(name)
            self._sources.check(folder, name)
            self._check_room(name, origin)
            entry = dataclasses.replace(entry, sidecar=read_sidecar(folder))
            generation = self._load(folder, entry.sidecar)
            is_change = known is not None and known.is_served
            (self._hooks.update if is_change else self._hooks.register)(name, origin)
            self._journal.write(name, _note_of(origin))
        except HotswapError as error:
            self._refuse(name, _kept(known, entry), str(error))
            return False
        if known is not None and not known.origin.is_watched:
            log.warning("a folder takes over a registered name=%r", name)
        self._serve(name, entry, generation)
        return True

    def gone(self, name: str) -> None:
        entry, note = self._entries.get(name), self._journal.notes.get(name)
        if entry is None or entry.origin.is_watched:
            self._journal.write(name, None)
        elif note is not None:  # a folder that was passed over for a registered one
            self._journal.write(name, Note(origin=note.origin))
        if entry is not None and entry.origin.is_watched:
            self._retire(name)

    def fetch(self, name: str) -> None:
        entry = self._entries.get(name)
        if entry is None:
            return  # retired meanwhile: the engine has its letter
        try:
            self._sources.check(entry.folder, name)
            sidecar = read_sidecar(entry.folder)
            generation = self._load(entry.folder, sidecar)
        except HotswapError as error:
            self._refuse(name, dataclasses.replace(entry, is_served=False), str(error))
        else:
            self._serve(name, dataclasses.replace(entry, sidecar=sidecar), generation)

    def _load(self, folder: Path, sidecar: Sidecar) -> Generation:
        generation = self._read(folder)
        return generation if sidecar.scale == 1 else generation.scaled(sidecar.scale)

    def _passed_over(self, name: str) -> str | None:
        """The state of a watched folder that shall not be served as it is."""
        entry, note = self._entries.get(name), self._journal.notes.get(name)
        if entry is not None and entry.origin.is_watched:
            return entry.stamp
        return note.gone if note else None

    def _known(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise UnknownAdapter(name)
        return entry

    def _check_room(self, name: str, origin: Origin) -> None:
        others = [e for other, e in self._entries.items() if other != name]
        if len(others) >= self._max_adapters:
            raise NoRoom(f"{self._max_adapters} adapters are registered already")
        if not origin.pin:
            return
        if not origin.preload:
            raise BadRequest("Can not set preload to false and pin to true", "pin")
        pinned = sum(other.origin.pin for other in others)
        if self._max_pinned is not None and pinned >= self._max_pinned:
            raise NoRoom(f"{pinned} adapters are pinned, as many as memory may hold")

    def _serve(self, name: str, entry: _Entry, generation: Generation | None) -> None:
        key = generation.key if generation else None
        self._put(name, dataclasses.replace(entry, generation=key, is_served=True))
        self._post(Adopt(name, generation, entry.origin))

    def _refuse(self, name: str, entry: _Entry, reason: str) -> None:
        self._put(name, entry)
        # A registered name keeps its own source, whatever folder was dropped there.
        is_readable = entry.is_served and not entry.origin.is_watched
        self._post(Refuse(name, reason, entry.origin, is_readable))

    def _retire(self, name: str) -> None:
        self._put(name, None)
        self._post(Retire(name))

    def _put(self, name: str, entry: _Entry | None) -> None:
        self._entries.pop(name, None)
        if entry is not None:
            self._entries[name] = entry
        if self.sidecars or (entry is not None and entry.sidecar != NOTHING):
            said = {n: e.sidecar for n, e in self._entries.items()}
            self.sidecars = {n: s for n, s in said.items() if s != NOTHING}
            claims = Counter(a for s in self.sidecars.values() for a in s.aliases)
            # What two adapters claim is neither's: the wrong one must not answer.
            self.aliases = {
                alias: n
                for n, sidecar in self.sidecars.items()
                for alias in sidecar.aliases
                if alias not in self._entries and claims[alias] == 1
            }


def _kept(known: _Entry | None, refused: _Entry) -> _Entry:
    """What a name stands for after its folder was refused."""
    if known is None or not known.is_served:
        return dataclasses.replace(refused, is_served=False)
    if known.origin.is_watched:
        return dataclasses.replace(known, stamp=refused.stamp)
    return known


def _note_of(origin: Origin) -> Note | None:
    """What to keep of it: nothing of a folder with which nothing was done."""
    if origin == Origin(src=origin.src, is_watched=True):
        return None
    return Note(origin=origin)
