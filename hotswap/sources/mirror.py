"""Mirror: a place with a folder for each adapter, as a local directory of links.

It is listed again and again. A folder that is new or has changed is fetched, and its
link is flipped to the new content; one that is gone loses its link. The watch of the
directory does the rest, as with folders that somebody drops there.

S3 has no renaming, so a folder may be seen while it is uploaded: what differs from the
look before is acted on when the next look sees the same. A look that fails changes
nothing.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hotswap.error_boundary import error_boundary, said
from hotswap.errors import AdapterRefused, HotswapError
from hotswap.short_thread import ShortThread
from hotswap.sources.cache_users import Held
from hotswap.sources.fetcher import Fetcher, listing_of
from hotswap.sources.links import contents, link
from hotswap.sources.location import Location, without_secrets
from hotswap.sources.remote import RemoteFile
from hotswap.sources.wanted_files import is_wanted

log = logging.getLogger(__name__)

_FEW = 4  # fetched at once
_AGAIN_S = 1.0  # at least, after a look that saw a change


@dataclass(frozen=True, slots=True)
class _Failure:
    listing: str
    why: str
    is_passing: bool


class Mirror:
    """Looks on its own thread; fetches beside it."""

    def __init__(
        self,
        fetcher: Fetcher,
        location: Location,
        directory: Path,
        *,
        poll_s: float,
        quiet_s: float,
    ) -> None:
        """`directory`: where the links are. `poll_s`: between two looks. `quiet_s`:
        between one that saw a change and the next."""
        self._fetcher = fetcher
        self._location = location
        self._directory = directory
        self._poll_s = poll_s
        self._again_s = max(quiet_s, _AGAIN_S)
        self._there: Mapping[str, Sequence[RemoteFile]] = {}
        self._seen: dict[str, str] | None = None  # listings by name, at the last look
        self._settled: dict[str, str] = {}  # those that the look before saw as well
        self._linked: dict[str, str] = {}  # those that links lead to
        self._held: dict[str, Held] = {}
        self._failed: dict[str, _Failure] = {}
        self._again: set[str] = set()  # failed ones that are to be tried again
        self._fetching: dict[str, tuple[str, ShortThread[Held]]] = {}
        self._lost: str | None = None  # why the last look failed
        self._trouble: tuple[str, ...] = ()
        self._bugs: set[str] = set()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._has_caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self, patience_s: float) -> None:
        """Take up what is there. Returns when that is fetched, or after a while."""
        self._recall()
        self._thread.start()
        self._has_caught_up.wait(patience_s)

    def stop(self) -> None:
        """Waits for no byte."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(1.0)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def trouble(self) -> tuple[str, ...]:
        """What could not be looked at or fetched, in a line each. For any thread."""
        return self._trouble

    def look(self) -> bool:
        """List and act. Whether another look should follow soon: something differs."""
        try:
            with error_boundary(_strange):
                there = self._fetcher.folders(self._location)
        except HotswapError as error:
            self._lost = str(error)
            self.act()
            return False
        self._lost = None
        listings = self._listings(there)
        before, self._seen, self._there = self._seen, listings, there
        self._settled = {
            name: listing
            for name, listing in listings.items()
            if before is None or before.get(name) == listing
        }
        if before is not None:
            for name in set(self._linked) - set(listings) - set(before):
                self._unlink(name)
        self._failed = {n: f for n, f in self._failed.items() if n in listings}
        self._again = {n for n, f in self._failed.items() if f.is_passing}
        self.act()
        return before is not None and before != listings

    def act(self) -> None:
        """Link what has been fetched, and fetch what was seen, a few at once."""
        for name, (listing, thread) in list(self._fetching.items()):
            if thread.future.done():
                del self._fetching[name]
                self._harvest(name, listing, thread)
        for name, listing in sorted(self._settled.items()):
            if len(self._fetching) < _FEW and self._is_to_fetch(name, listing):
                self._fetch(name, listing)
        lines = [failure.why for _, failure in sorted(self._failed.items())]
        self._tell([self._lost, *lines] if self._lost else lines)
        if not self._fetching:
            self._has_caught_up.set()

    def _listings(self, there: Mapping[str, Sequence[RemoteFile]]) -> dict[str, str]:
        found = {}
        for name, files in there.items():
            taken = sorted(filter(_is_wanted, files), key=lambda file: file.name)
            if taken and not name.startswith("."):
                found[name] = listing_of(self._location.below(name), taken)
        return found

    def _is_to_fetch(self, name: str, listing: str) -> bool:
        if self._linked.get(name) == listing or name in self._fetching:
            return False
        failed = self._failed.get(name)
        return failed is None or failed.listing != listing or name in self._again

    def _fetch(self, name: str, listing: str) -> None:
        self._again.discard(name)
        where = self._location.below(name)
        work = partial(self._fetcher.bring, where, self._there[name], self._stopping)
        thread = ShortThread(work)
        self._fetching[name] = listing, thread
        thread.future.add_done_callback(lambda _: self._woken.set())

    def _harvest(self, name: str, listing: str, thread: ShortThread[Held]) -> None:
        try:
            with error_boundary(_strange):
                held = thread.future.result()
                link(self._directory, name, held.folder)
        except HotswapError as error:
            why = f"{name}: {error}"
            self._failed[name] = _Failure(listing, why, _may_pass(error))
        else:
            self._failed.pop(name, None)
            self._linked[name] = listing
            self._held[name] = held

    def _unlink(self, name: str) -> None:
        try:
            (self._directory / name).unlink(missing_ok=True)
        except OSError as error:
            log.warning("adapter %r: its link stays: %s", name, error.strerror)
            return
        del self._linked[name]
        self._held.pop(name, None)

    def _recall(self) -> None:
        """The links of the process before, as far as their content is here."""
        for name, digest in contents(self._directory).items():
            held = self._fetcher.cache.find(digest)
            if held is None:
                (self._directory / name).unlink()
                continue
            known = self._fetcher.cache.recall(self._location.below(name).plain)
            is_same = known is not None and known[1] == digest
            self._held[name] = held
            self._linked[name] = known[0] if known and is_same else ""

    def _tell(self, lines: Sequence[str]) -> None:
        for line in lines:
            if line not in self._trouble:
                log.warning("trouble with adapters, what is served stays: %s", line)
        self._trouble = tuple(lines)

    def _run(self) -> None:
        is_soon = self._try(self.look)
        while not self._stopping.is_set():
            if self._woken.wait(self._again_s if is_soon else self._poll_s):
                self._woken.clear()
                self._try(self.act)
            else:
                is_soon = self._try(self.look)

    def _try(self, work: Callable[[], bool | None]) -> bool:
        """`work`, whatever goes wrong: then nothing is taken away, and it is tried
        again."""
        try:
            return bool(work())
        except BaseException as error:
            if said(error) not in self._bugs:
                self._bugs.add(said(error))
                log.exception("the mirror goes on location=%s", self._location.plain)
            return False


def _is_wanted(file: RemoteFile) -> bool:
    return is_wanted(file.name)


def _strange(text: str) -> AdapterRefused:
    return AdapterRefused("source_away", without_secrets(text), is_passing=True)


def _may_pass(error: HotswapError) -> bool:
    return error.is_passing or not isinstance(error, AdapterRefused)
