"""Fetcher: a location to a local folder, whole and named by its content.

What a place lists says whether anything is to be fetched: the same names, sizes and
marks (ETags, blobs) as last time are the same content.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from hotswap.adapters.files import is_short
from hotswap.errors import NoRoom
from hotswap.sources.cache_users import Held
from hotswap.sources.content_cache import KEY, ContentCache
from hotswap.sources.download import download
from hotswap.sources.location import Location
from hotswap.sources.remote import PATIENCE_S, Remote, RemoteFile, remote_for
from hotswap.sources.tar_archive import unpack
from hotswap.sources.wanted_files import ARCHIVE, check_size, wanted

log = logging.getLogger(__name__)

NEVER = threading.Event()


class Fetcher:
    """For any thread. Raises AdapterRefused, NoRoom, and OSError of the disk."""

    def __init__(
        self,
        cache: ContentCache,
        *,
        most_bytes: int,
        key: str,
        allowed: Sequence[str] = (),
        patience_s: float = PATIENCE_S,
        make_remote: Callable[[str], Remote] | None = None,
    ) -> None:
        """`most_bytes`: of one folder, as the setting `key` says. `allowed`: where
        redirects to another host may lead. `patience_s`: how long no byte may come.
        `make_remote`: by scheme, others than the usual."""
        self.cache = cache
        self._most_bytes = min(most_bytes, cache.most_bytes)
        self._key = key if most_bytes <= cache.most_bytes else KEY
        self._patience_s = patience_s
        self._make_remote = make_remote or partial(
            remote_for, allowed=allowed, patience_s=patience_s
        )
        self._remotes: dict[str, Remote] = {}
        self._making = threading.Lock()

    def fetch(self, location: Location, stop: threading.Event = NEVER) -> Held:
        """Its content as it is now. `stop`: nobody wants it any more."""
        files = self._remote(location).files(location)
        return self.bring(location, files, stop)

    def folders(self, location: Location) -> Mapping[str, Sequence[RemoteFile]]:
        """What lies in each folder in it now, by name."""
        return self._remote(location).folders(location)

    def bring(
        self, location: Location, files: Sequence[RemoteFile], stop: threading.Event
    ) -> Held:
        """The same of what has been listed."""
        taken = self._taken(location, files)
        listing = listing_of(location, taken)
        if (held := self._known(location, listing)) is not None:
            return held
        began = time.monotonic()
        try:
            held = self._download(location, taken, listing, stop)
        except OSError as error:
            if is_short(error):
                raise NoRoom(f"{location.plain}: {error.strerror}") from None
            raise
        log.info(
            "fetched %s content=%s bytes=%d seconds=%.1f",
            *(location.plain, held.digest, sum(file.size for file in taken)),
            time.monotonic() - began,
        )
        return held

    def kept(self, location: Location) -> Held | None:
        """What it was when it was last fetched, if that is here."""
        known = self.cache.recall(location.plain)
        return None if known is None else self.cache.find(known[1])

    def _download(
        self,
        location: Location,
        files: Sequence[RemoteFile],
        listing: str,
        stop: threading.Event,
    ) -> Held:
        announced = sum(file.size for file in files)
        with self.cache.partial(listing, announced, stop) as folder:
            if (held := self._known(location, listing)) is not None:
                return held  # another has fetched it meanwhile
            download(
                self._remote(location),
                location,
                files,
                folder,
                stop=stop,
                patience_s=self._patience_s,
            )
            if _is_archive(files):
                unpack(
                    folder / ARCHIVE,
                    folder,
                    location,
                    most_bytes=self._most_bytes,
                    key=self._key,
                    stop=stop,
                )
            held = self.cache.take(folder)
            self.cache.note(location.plain, listing, held.digest)
            return held

    def _known(self, location: Location, listing: str) -> Held | None:
        """What a location with this listing stands for, if that is here."""
        known = self.cache.recall(location.plain)
        if known is None or known[0] != listing:
            return None
        return self.cache.find(known[1])

    def _taken(
        self, location: Location, files: Sequence[RemoteFile]
    ) -> list[RemoteFile]:
        if _is_archive(files):
            check_size(location, files[0].size, self._most_bytes, self._key)
            return list(files)
        return wanted(location, files, self._most_bytes, self._key)

    def _remote(self, location: Location) -> Remote:
        with self._making:
            made = self._remotes.get(location.scheme)
            if made is None:
                made = self._remotes[location.scheme] = self._make_remote(
                    location.scheme
                )
            return made


def listing_of(location: Location, files: Sequence[RemoteFile]) -> str:
    """A name for what a location lists: another one for another content."""
    told = [location.plain, *([f.name, f.size, f.etag, f.sha256] for f in files)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:40]


def _is_archive(files: Sequence[RemoteFile]) -> bool:
    return [file.name for file in files] == [ARCHIVE]
