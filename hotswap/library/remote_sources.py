"""Remote sources: adapters that clients register by a URL, as far as they may.

What is allowed is what `sources` under [adapters] names. A registration asks its place
what is there now; whatever is asked for it later is answered from the cache.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hotswap.adapters.files import unreadable
from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.error_boundary import error_boundary
from hotswap.errors import (
    AdapterRefused,
    BadRequest,
    SourceForbidden,
    SourceUnsupported,
)
from hotswap.library.entries import Entry
from hotswap.library.folder_reader import FolderReader
from hotswap.library.transaction import Fetch, Transaction
from hotswap.sources.cache_users import Held
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import Location, is_location, parse, without_secrets

_SETTING = "`sources` under [adapters]"


class RemoteSources:
    """For any thread."""

    def __init__(
        self, fetcher: Fetcher | None = None, allowed: Sequence[str] = ()
    ) -> None:
        """`allowed`: patterns; without one nothing is fetched."""
        self._fetcher = fetcher
        self._allowed = allowed

    def checked(self, src: str) -> Location:
        """Raises SourceUnsupported, SourceForbidden or BadRequest."""
        if self._fetcher is None or not self._allowed:
            scheme = src.partition(":")[0]
            raise SourceUnsupported(without_secrets(src), scheme, _SETTING)
        location = parse(src)
        if not location.is_allowed(self._allowed):
            raise SourceForbidden(location.plain, _SETTING)
        return location

    def fetch(self, origin: Origin) -> Fetch:
        """What brings its folder: what it stood for, or what is there now."""
        return Fetch(partial(self._held, self.checked(origin.src), origin.content))

    def _held(
        self, location: Location, content: str | None, stop: threading.Event
    ) -> Held:
        assert self._fetcher is not None, location
        with error_boundary(_strange):
            try:
                kept = self._fetcher.cache.find(content) if content else None
                return kept or self._fetcher.fetch(location, stop)
            except OSError as error:
                raise unreadable(error) from None


def sourced(
    reader: FolderReader, remote: RemoteSources, origin: Origin
) -> Transaction[tuple[Entry, Generation | None]]:
    """What a client's source holds; None if it is read when it is asked for, or a sum
    of what will be there then."""
    if origin.composition is not None:
        return Entry(Path(), origin), None
    held = None
    if is_location(origin.src):
        held = yield remote.fetch(origin)
        plain = parse(origin.src).plain
        origin = replace(origin, src=plain, content=held.digest)
    find = partial(reader.source, origin.src, held.folder if held else None)
    read = yield partial(find, whole=origin.preload)
    return Entry(read.folder, origin, read.sidecar, held=held), read.generation


def reread(
    reader: FolderReader, remote: RemoteSources, entry: Entry, name: str
) -> Transaction[tuple[Entry, Generation | None]]:
    """An entry as its files are now, with its generation. What could not be fetched
    before is fetched now."""
    if entry.held is None and is_location(entry.origin.src):
        whole = replace(entry.origin, preload=True)
        found, made = yield from sourced(reader, remote, whole)
        origin = replace(found.origin, preload=entry.origin.preload)
        return replace(found, origin=origin), made
    read = yield partial(reader.folder, entry.folder, name)
    return replace(entry, sidecar=read.sidecar), read.generation


def again(src: str | None, origin: Origin) -> Origin | None:
    """What to fetch when an update names its source `src` once more; None: nothing.
    Raises BadRequest for another source."""
    if src is None or (src == origin.src and not is_location(src)):
        return None
    if not is_location(src) or parse(src).plain != origin.src:
        raise BadRequest("Updating adapter path is not supported.", "src")
    return replace(origin, src=src, content=None)


def _strange(text: str) -> AdapterRefused:
    return AdapterRefused("source_away", without_secrets(text), is_passing=True)
