"""Adapter sources: which names and folders an adapter may have, how one is shown.

A name is one path segment, printable, of bounded length. A folder lies under one of the
configured roots, after every symlink in its path and in its files is resolved: what a
client names in a request must not read the rest of the disk.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.adapters.files import unreadable
from hotswap.errors import (
    AdapterRefused,
    BadRequest,
    SourceForbidden,
    SourceUnsupported,
)
from hotswap.library.folder_scan import NAMES
from hotswap.short_thread import at_disk

# As long as DJL takes one: percent-encoded, in a request's line of 4096 bytes.
MAX_NAME = 4000


class Sources:
    def __init__(self, roots: Sequence[Path]) -> None:
        """The first root is where relative sources start."""
        self._roots = roots

    def place(self, src: str) -> Path:
        """The folder that `src` names, without a look at it."""
        return self._roots[0] / src if self._roots else Path(src)

    def find(self, src: str) -> Path:
        """The folder that `src` names, symlinks kept.

        Raises SourceUnsupported, SourceForbidden or AdapterRefused.
        """
        try:
            scheme = urlsplit(src).scheme
        except ValueError:  # half an address of IPv6: no URL, nor a folder's name
            raise SourceForbidden(src) from None
        if scheme:
            raise SourceUnsupported(src, scheme)
        if not self._roots:
            raise SourceForbidden(src)
        folder = self.place(src)  # an absolute `src` stands alone
        self.check(folder, src)
        with _readable(), at_disk():
            is_folder, is_adapter = folder.is_dir(), (folder / CONFIG_FILE).exists()
        if not is_folder:
            raise AdapterRefused("no_source", f"{src}: no such folder")
        if not is_adapter:
            raise AdapterRefused("no_config", f"{src}: it has no {CONFIG_FILE}")
        return folder

    def check(self, folder: Path, src: str) -> None:
        """Raises SourceForbidden if the folder, or a file of it that would be read,
        lies elsewhere; AdapterRefused if that cannot be told just now."""
        try:
            with _readable():
                # The roots anew: a deploy may have flipped a link in their path.
                roots = [_resolved(root) for root in self._roots]
                places = [_resolved(folder / name) for name in ("", *NAMES)]
        except (RuntimeError, ValueError):  # a loop, a NUL byte
            raise SourceForbidden(src) from None
        for place in places:
            if not any(place.is_relative_to(root) for root in roots):
                raise SourceForbidden(src)


def shown(src: str, directory: Path | None, *, show_paths: bool) -> str:
    """A source as anybody may know it, without telling where it lies on the disk.

    In the watched `directory` it is the path that a registration could name.
    """
    path = Path(src)
    if show_paths:
        return str(path.absolute())
    if directory is not None and path.absolute().is_relative_to(directory.absolute()):
        return str(path.absolute().relative_to(directory.absolute()))
    return path.name if path.is_absolute() else src


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(error) from None


def _resolved(place: Path) -> Path:
    with at_disk():
        return place.resolve()


def check_name(name: str) -> None:
    """Raises BadRequest for what cannot be an adapter's name."""
    if not name:
        raise BadRequest("`name` is empty", "name")
    length = len(quote(name, safe="", errors="replace"))
    if length > MAX_NAME:
        raise BadRequest(
            f"`name` has {length} characters in a URL, more than {MAX_NAME}", "name"
        )
    if not name.isprintable() or "/" in name or name.startswith("."):
        raise BadRequest(
            "`name` must be one path segment of printable characters that does not "
            "begin with a dot",
            "name",
        )
