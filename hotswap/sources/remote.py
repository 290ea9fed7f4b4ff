"""Remote: what each kind of place can do, and what can go wrong there.

Every fault of a library becomes an `AdapterRefused` here: what may go well later is
passing. No text of theirs is told, but for the class of an error: they name URLs with
signatures in them.
"""

import importlib
import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hotswap.errors import AdapterRefused
from hotswap.sources.location import Location

PATIENCE_S = 30.0  # so long no byte may come

_MODULES = {
    "s3": "hotswap.sources.s3_bucket",
    "hf": "hotswap.sources.hub_repository",
    "https": "hotswap.sources.archive_url",
}
_EXTRAS = {"s3": "s3", "hf": "hub", "https": "hub"}
# They log whole URLs, headers and what is signed.
_TALKATIVE = ("httpx2", "httpcore2", "botocore", "aiobotocore", "s3fs", "fsspec")


Parts = Generator[bytes, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """`name`: in its folder. `size`: bytes that are announced. `etag`: another one for
    another content. `sha256`: in hex, if the place tells it. `at`: where the place has
    it, for itself."""

    name: str
    size: int
    etag: str
    sha256: str = ""
    at: str = ""


class Remote(Protocol):
    """For any thread. Each raises AdapterRefused."""

    def files(self, location: Location) -> Sequence[RemoteFile]:
        """Those that lie in the folder itself, or the one archive."""

    def folders(self, location: Location) -> Mapping[str, Sequence[RemoteFile]]:
        """The same of each folder in it, by name."""

    def read(self, location: Location, file: RemoteFile, start: int) -> Parts:
        """The bytes from `start`, in parts; passing if it is another content now. It
        may end too early, and it may not end where it was announced."""


def remote_for(
    scheme: str, allowed: Sequence[str], patience_s: float = PATIENCE_S
) -> Remote:
    """`allowed`: where redirects to another host may lead. Loads what it takes. Raises
    AdapterRefused if that is not installed."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        module = importlib.import_module(_MODULES[scheme])
        made: Remote = module.make(patience_s, allowed)
    except ImportError as error:
        reason = (
            f"{scheme}:// needs {error.name}, which is not installed: "
            f"pip install 'hotswap[{_EXTRAS[scheme]}]'"
        )
        raise AdapterRefused("no_library", reason) from None
    return made


def away(location: Location, why: str) -> AdapterRefused:
    """It does not answer, or breaks off; perhaps it does another time."""
    text = f"{location.plain} cannot be fetched just now: {why}"
    return AdapterRefused("source_away", text, is_passing=True)


def absent(location: Location, why: str = "there is nothing") -> AdapterRefused:
    return AdapterRefused("no_source", f"{location.plain}: {why}")


def denied(location: Location, why: str) -> AdapterRefused:
    return AdapterRefused("source_denied", f"{location.plain}: {why}")


def changed(location: Location, name: str) -> AdapterRefused:
    text = f"{location.plain}: {name} has changed while it was fetched"
    return AdapterRefused("changing", text, is_passing=True)


def refused_with(location: Location, status: int) -> AdapterRefused:
    """What an HTTP status above 399 says."""
    if status in (401, 403, 407, 451):
        return denied(location, f"it may not be read with these credentials ({status})")
    if status in (404, 410):
        return absent(location, f"there is nothing ({status})")
    if status == 412:
        return changed(location, "it")
    if status in (408, 425, 429) or status >= 500:
        return away(location, f"it answers {status}")
    return denied(location, f"it answers {status}")
