"""Catalogue: which names stand for which folders, and the rules of every change.

Each change is checked whole before anything is changed: name, source, room, files,
hooks; then it is noted in the journal, and only then told to the engine by letter.
The folder is the first truth: one dropped under a name that a client registered takes
the name over. Owned by the library's thread; knows no threads.

A change that has to read files yields what to read and goes on with what was found:
meanwhile other names may have changed, its own has not. What may have is checked again.
"""

import dataclasses
import logging
from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from hotswap.adapters.deltas import Generation
from hotswap.adapters.origin import Origin
from hotswap.engine.letters import Adopt, Amend, Letter, Loading, Refuse, Retire
from hotswap.errors import (
    AdapterExists,
    BadRequest,
    GenerationMismatch,
    HotswapError,
    NoRoom,
    StillLoading,
    UnknownAdapter,
)
from hotswap.library.entries import Entries, Entry, Found, kept
from hotswap.library.hooks import Hooks
from hotswap.library.journal import Journal, Note, note_of
from hotswap.library.reader import Read, Reader
from hotswap.library.sources import Sources, check_name

log = logging.getLogger(__name__)

T = TypeVar("T")
# What to read, beside the library's thread; then what was found
Change = Generator[Callable[[], Read], Read, T]


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
        self._reader = Reader(read, sources)
        self._post = post
        self._sources = sources
        self.journal = journal
        self._hooks = hooks
        self._max_adapters = max_adapters
        self._max_pinned = max_pinned
        self._loading: set[str] = set()  # told to the engine, and no entry yet
        self.entries = Entries()

    def restore(self, name: str, origin: Origin) -> Change[None]:
        self._expect(name, origin)
        entry = Entry(self._sources.place(origin.src), origin)
        try:
            read = yield partial(self._reader.source, origin.src, whole=origin.preload)
            self._hooks.register(name, origin)
        except HotswapError as error:
            if error.is_passing:  # it was good, and is read when asked for
                log.warning("adapter not read yet name=%r reason=%s", name, error)
                self._serve(name, entry, None)
            else:
                self._refuse(name, dataclasses.replace(entry, is_served=False), error)
            return
        entry = dataclasses.replace(entry, folder=read.folder, sidecar=read.sidecar)
        self._serve(name, entry, read.generation)

    def register(
        self, name: str, origin: Origin, *, replace: bool, expected: str | None
    ) -> Change[str | None]:
        check_name(name)
        known = self.entries.get(name)
        if known is not None and known.is_served and not replace:
            raise AdapterExists(name)
        if expected is not None:
            now = known.generation if known and known.is_served else None
            if (now or "") != expected:
                raise GenerationMismatch(name, expected, now)
        self._check_room(name, origin)
        read = yield partial(self._reader.source, origin.src, whole=origin.preload)
        self._check_room(name, origin)
        self._hooks.register(name, origin)
        self.journal.write(name, Note(origin=origin, gone=self._passed_over(name)))
        self._serve(name, Entry(read.folder, origin, read.sidecar), read.generation)
        return read.generation.key if read.generation else None

    def update(
        self,
        name: str,
        changes: Mapping[str, object],
        src: str | None,
        options: Mapping[str, str],
    ) -> Change[None]:
        entry = self._known(name)
        if src is not None and src != entry.origin.src:
            raise BadRequest("Updating adapter path is not supported.", "src")
        origin = dataclasses.replace(
            entry.origin,
            **changes,  # type: ignore[arg-type]  # values of its own fields
            options={**entry.origin.options, **options},
        )
        self._check_room(name, origin)
        generation = None
        if origin.preload and not entry.origin.preload:
            read = yield partial(self._reader.folder, entry.folder, name)
            self._check_room(name, origin)
            entry = dataclasses.replace(entry, sidecar=read.sidecar)
            generation = read.generation
        self._hooks.update(name, origin)
        self.journal.write(name, note_of(origin))
        entry = dataclasses.replace(entry, origin=origin)
        if generation is not None:
            self._serve(name, entry, generation)
        else:
            self.entries.put(name, entry)
            self._post(Amend(name, origin))

    def unregister(self, name: str) -> None:
        self._known(name)
        self._hooks.unregister(name)
        gone = self._passed_over(name)
        self.journal.write(name, Note(gone=gone) if gone else None)
        self._retire(name)

    def examine(self, src: str) -> Change[Generation]:
        read = yield partial(self._reader.source, src, whole=True)
        assert read.generation is not None
        return read.generation

    def seen(self, name: str, folder: Path) -> None:
        if self.entries.get(name) is None:
            self._expect(name, Origin(src=str(folder), is_watched=True))

    def found(self, name: str, folder: Path, stamp: str) -> Change[Found]:
        note = self.journal.notes.get(name)
        if note is not None and note.gone == stamp:
            self._forget(name)
            return Found.GOOD  # somebody unregistered it, or took its name, as it is
        known = self.entries.get(name)
        noted = note.origin if note and note.origin and note.origin.is_watched else None
        origin = noted or Origin(src=str(folder), is_watched=True)
        entry = Entry(folder, origin, stamp=stamp)
        try:
            check_name(name)
            self._check_room(name, origin)
            if known is None or known.stamp != stamp:  # else it is tried again
                self._expect(name, origin)
            read = yield partial(self._reader.folder, folder, name)
            self._check_room(name, origin)
            entry = dataclasses.replace(entry, sidecar=read.sidecar)
            is_change = known is not None and known.is_served
            (self._hooks.update if is_change else self._hooks.register)(name, origin)
        except HotswapError as error:
            self._refuse(name, kept(known, entry), error)
            has_room = not isinstance(error, NoRoom)  # there may be some another time
            return Found.BAD if has_room and not error.is_passing else Found.AGAIN
        self.journal.keep(name, note_of(origin))
        if known is not None and not known.origin.is_watched:
            log.warning("a folder takes over a registered name=%r", name)
        self._serve(name, entry, read.generation)
        return Found.GOOD

    def gone(self, name: str) -> None:
        entry, note = self.entries.get(name), self.journal.notes.get(name)
        if entry is None or entry.origin.is_watched:
            self.journal.keep(name, None)
        elif note is not None:  # a folder that was passed over for a registered one
            self.journal.keep(name, Note(origin=note.origin))
        if entry is not None and entry.origin.is_watched:
            self._retire(name)
        self._forget(name)

    def fetch(self, name: str) -> Change[None]:
        entry = self.entries.get(name)
        if entry is None:
            return  # retired meanwhile: the engine has its letter
        try:
            read = yield partial(self._reader.folder, entry.folder, name)
        except HotswapError as error:
            if not error.is_passing:
                entry = dataclasses.replace(entry, is_served=False)
            self._refuse(name, entry, error)
        else:
            entry = dataclasses.replace(entry, sidecar=read.sidecar)
            self._serve(name, entry, read.generation)

    def learn(self, name: str) -> Change[None]:
        entry = self.entries.get(name)
        if entry is not None and entry.is_unread:
            yield from self.fetch(name)

    def _passed_over(self, name: str) -> str | None:
        """The state of a watched folder that shall not be served as it is."""
        entry, note = self.entries.get(name), self.journal.notes.get(name)
        if entry is not None and entry.origin.is_watched:
            return entry.stamp
        return note.gone if note else None

    def _known(self, name: str) -> Entry:
        entry = self.entries.get(name)
        if entry is None:
            raise (StillLoading if name in self._loading else UnknownAdapter)(name)
        return entry

    def _check_room(self, name: str, origin: Origin) -> None:
        others = self.entries.others(name)
        if len(others) >= self._max_adapters:
            raise NoRoom(f"{self._max_adapters} adapters are registered already")
        if not origin.pin:
            return
        if not origin.preload:
            raise BadRequest("Can not set preload to false and pin to true", "pin")
        pinned = sum(other.origin.pin for other in others)
        if self._max_pinned is not None and pinned >= self._max_pinned:
            raise NoRoom(f"{pinned} adapters are pinned, as many as memory may hold")

    def _expect(self, name: str, origin: Origin) -> None:
        self._loading.add(name)
        self._post(Loading(name, origin))

    def _serve(self, name: str, entry: Entry, generation: Generation | None) -> None:
        entry = dataclasses.replace(
            entry,
            is_served=True,
            generation=generation.key if generation else None,
            tokenizer=generation.tokenizer if generation else None,
        )
        self._loading.discard(name)
        self.entries.put(name, entry)
        if generation is not None and generation.warnings:
            log.warning("adapter name=%r: %s", name, "; ".join(generation.warnings))
        self._post(Adopt(name, generation, entry.origin))

    def _refuse(self, name: str, entry: Entry, error: HotswapError) -> None:
        self._loading.discard(name)
        self.entries.put(name, entry)
        # A registered name keeps its own source, whatever folder was dropped there.
        is_readable = entry.is_served and not entry.origin.is_watched
        self._post(
            Refuse(name, str(error), entry.origin, is_readable, error.is_passing)
        )

    def _retire(self, name: str) -> None:
        self._loading.discard(name)
        self.entries.put(name, None)
        self._post(Retire(name))

    def _forget(self, name: str) -> None:
        """Nothing comes of a folder that was seen."""
        if name in self._loading:
            self._loading.discard(name)
            if self.entries.get(name) is None:
                self._post(Retire(name))
