"""Registry: which names stand for which folders, and the rules of every change.

Each change is checked whole before anything is changed: name, source, room, files,
hooks; then it is noted in the journal, and only then told to the engine (`Entries`).
The folder is the first truth: one dropped under a name that a client registered takes
the name over. Owned by the library's thread; knows no threads.

While a transaction waits for what it reads, or for a hook, other names may take the
last room: it is checked again.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from msgspec import structs

from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.engine.messages import Message
from hotswap.engine.sums import SumOrder
from hotswap.errors import (
    AdapterExists,
    BadRequest,
    GenerationMismatch,
    HotswapError,
    NoRoom,
    StillLoading,
    UnknownAdapter,
)
from hotswap.library.adapter_sources import Sources, check_name
from hotswap.library.entries import Entries, Entry, Found, kept
from hotswap.library.folder_reader import FolderReader
from hotswap.library.hooks import Hooks
from hotswap.library.journal import Journal, Note, note_of
from hotswap.library.named_sums import checked, composed
from hotswap.library.orders import Registered, Registration, Update
from hotswap.library.remote_sources import RemoteSources, again, reread, sourced
from hotswap.library.room import Room
from hotswap.library.transaction import Transaction

log = logging.getLogger(__name__)


class Registry:
    """Its methods are transactions, but for those that read nothing. What a client asks
    raises why it is refused, with nothing changed; of the rest the engine is told."""

    def __init__(
        self,
        read: Callable[[Path], Generation],
        post: Callable[[Message], None],
        *,
        compose: Callable[[SumOrder], Generation],
        sources: Sources,
        remote: RemoteSources | None = None,
        journal: Journal,
        hooks: Hooks,
        max_adapters: int,
        max_pinned: int | None,
    ) -> None:
        """`read`: a folder's generation, `compose`: a sum's, checked; both beside the
        library's thread. `post`: to the engine."""
        self._compose = compose
        self._reader = FolderReader(read, sources)
        self._sources = sources
        self._remote = remote or RemoteSources()
        self.journal = journal
        self._hooks = hooks
        self.entries = Entries(post)
        self._room = Room(
            self.entries, hooks, max_adapters=max_adapters, max_pinned=max_pinned
        )

    def restore(self, name: str, origin: Origin) -> Transaction[None]:
        """What the journal says was registered. Whatever is wrong with it is told."""
        self.entries.expect(name, origin)
        entry, made = Entry(self._sources.place(origin.src), origin), None
        try:
            entry, made = yield from sourced(self._reader, self._remote, origin)
            yield self._hooks.register(name, origin)
        except HotswapError as error:
            if error.is_passing:  # it was good, and is read when asked for
                log.warning("adapter not read yet name=%r reason=%s", name, error)
                self.entries.serve(name, entry, None)
            else:
                self.entries.refuse(name, replace(entry, is_served=False), error)
            return
        self.entries.serve(name, entry, made)

    def register(self, order: Registration) -> Transaction[Registered]:
        """Its generation is None if it is read when it is asked for."""
        name, origin = order.name, order.origin
        check_name(name)
        known = self.entries.get(name)
        if known is not None and known.is_served and not order.replace:
            raise AdapterExists(name)
        if order.expected is not None:
            now = known.generation if known and known.is_served else None
            if (now or "") != order.expected:
                raise GenerationMismatch(name, order.expected, now)
        self._room.check(name, origin)
        if origin.composition is not None:
            origin = checked(name, origin, self.entries)
        entry, made = yield from sourced(self._reader, self._remote, origin)
        origin = entry.origin
        self._room.check(name, origin)
        said = yield from self._room.agreed(name, origin)
        note = note_of(origin, self._passed_over(name))
        self.journal.write(name, note, is_anew=True)
        self.entries.serve(name, entry, made)
        return Registered(made.key if made else None, said)

    def update(self, order: Update) -> Transaction[str | None]:
        """What a hook says of it. Its files are read if it is preloaded only now; those
        of a URL that is named once more are fetched again."""
        name = order.name
        entry = self._known(name)
        origin = order.applied_to(entry.origin)
        remote = again(order.src, origin)
        if origin.preload and origin.composition is not None:
            raise BadRequest(f"`{name}` is a sum: made when asked for", "preload")
        self._room.check(name, origin)
        generation = None
        if remote is not None:  # it may be another content by now
            entry, generation = yield from sourced(self._reader, self._remote, remote)
            origin = entry.origin
        elif origin.preload and not entry.origin.preload:
            entry, generation = yield from reread(
                self._reader, self._remote, entry, name
            )
        self._room.check(name, origin)
        said: str | None = yield self._hooks.update(name, origin)
        is_anew = remote is not None or generation is not None
        note = note_of(origin, self._passed_over(name))
        self.journal.write(name, note, is_anew=is_anew)
        entry = replace(entry, origin=origin)
        if is_anew:
            self.entries.serve(name, entry, generation)
        else:
            self.entries.amend(name, entry)
        return said

    def unregister(self, name: str) -> Transaction[str | None]:
        """What a hook says of it. A folder of the directory then stays away until its
        files change."""
        entry = self._known(name)
        said: str | None = yield self._hooks.unregister(name, entry.origin)
        gone = self._passed_over(name)
        self.journal.write(name, Note(gone=gone) if gone else None)
        self.entries.retire(name)
        return said

    def examine(self, src: str) -> Transaction[Generation]:
        """Read and check a folder. Nothing changes."""
        _, made = yield from sourced(self._reader, self._remote, Origin(src=src))
        assert made is not None
        return made

    def seen(self, name: str, folder: Path) -> None:
        """A folder that is new and does not rest yet: its name is loading."""
        if self.entries.get(name) is None:
            self.entries.expect(name, Origin(src=str(folder), is_watched=True))

    def found(self, name: str, folder: Path, stamp: str) -> Transaction[Found]:
        """A folder rests, in the state `stamp`: it is served, or refused and told. What
        serves under its name goes on until then, and if it is refused."""
        note = self.journal.notes.get(name)
        if note is not None and note.gone == stamp:
            self.entries.forget(name)
            return Found.GOOD  # somebody unregistered it, or took its name, as it is
        known = self.entries.get(name)
        noted = note.origin if note and note.origin and note.origin.is_watched else None
        origin = noted or Origin(src=str(folder), is_watched=True)
        entry = Entry(folder, origin, stamp=stamp)
        try:
            check_name(name)
            self._room.check(name, origin)
            if known is None or known.stamp != stamp:  # else it is tried again
                self.entries.expect(name, origin)
            read = yield partial(self._reader.folder, folder, name)
            self._room.check(name, origin)
            entry = replace(entry, sidecar=read.sidecar)
            is_change = known is not None and known.is_served
            if is_change:
                yield self._hooks.update(name, origin)
            else:
                yield from self._room.agreed(name, origin)
        except HotswapError as error:
            self.entries.refuse(name, kept(known, entry), error)
            has_room = not isinstance(error, NoRoom)  # there may be some another time
            return Found.BAD if has_room and not error.is_passing else Found.AGAIN
        self.journal.keep(name, note_of(origin))
        if known is not None and not known.origin.is_watched:
            log.warning("a folder takes over a registered name=%r", name)
        self.entries.serve(name, entry, read.generation)
        return Found.GOOD

    def gone(self, name: str) -> None:
        """A folder was taken away. Nobody can refuse that."""
        entry, note = self.entries.get(name), self.journal.notes.get(name)
        if entry is None or entry.origin.is_watched:
            self.journal.keep(name, None)
        elif note is not None:  # a folder that was passed over for a registered one
            self.journal.keep(name, structs.replace(note, gone=None))
        if entry is not None and entry.origin.is_watched:
            self.entries.retire(name)
        self.entries.forget(name)

    def fetch(self, name: str) -> Transaction[None]:
        """Read what is served and not in memory; a message brings it, or why not."""
        entry = self.entries.get(name)
        if entry is None:
            return  # retired meanwhile: the engine has its message
        try:
            now, made = yield from reread(self._reader, self._remote, entry, name)
        except HotswapError as error:
            if not error.is_passing:
                entry = replace(entry, is_served=False)
            self.entries.refuse(name, entry, error)
        else:
            self.entries.serve(name, now, made)

    def compose(self, order: SumOrder) -> Transaction[None]:
        """Make a sum of adapters; a message brings it, or why there is none."""
        return composed(self._compose, order, self.entries)

    def learn(self, name: str) -> Transaction[None]:
        """The same for one that was never read."""
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
        if entry is None and self.entries.is_loading(name):
            raise StillLoading(name)
        if entry is None:
            raise UnknownAdapter(name)
        return entry
