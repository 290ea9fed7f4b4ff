"""Sources: which names and which folders an adapter may have.

A name is one path segment, printable, of bounded length. A folder lies under one of the
configured roots, after every symlink in its path and in its files is resolved: what a
client names in a request must not read the rest of the disk.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hotswap.adapters.peft_config import CONFIG_FILE
from hotswap.errors import (
    AdapterRefused,
    BadRequest,
    SourceForbidden,
    SourceUnsupported,
)

MAX_NAME = 128


class Sources:
    def __init__(self, roots: Sequence[Path]) -> None:
        """The first root is where relative sources start."""
        self._roots = roots
        self._resolved = [root.resolve() for root in roots]

    def find(self, src: str) -> Path:
        """The folder that `src` names, symlinks kept.

        Raises SourceUnsupported, SourceForbidden or AdapterRefused.
        """
        scheme = urlsplit(src).scheme
        if scheme:
            raise SourceUnsupported(src, scheme)
        if not self._roots:
            raise SourceForbidden(src)
        folder = self._roots[0] / src  # an absolute `src` stands alone
        self.check(folder, src)
        if not folder.is_dir():
            raise AdapterRefused("no_source", f"{src}: no such folder")
        if not (folder / CONFIG_FILE).is_file():
            raise AdapterRefused("no_config", f"{src}: it has no {CONFIG_FILE}")
        return folder

    def check(self, folder: Path, src: str) -> None:
        """Raises SourceForbidden if the folder, or a file in it, lies elsewhere."""
        try:
            places = [folder, *folder.iterdir()] if folder.is_dir() else [folder]
            resolved = [place.resolve() for place in places]
        except (OSError, RuntimeError, ValueError):  # unreadable, a loop, a NUL byte
            raise SourceForbidden(src) from None
        for place in resolved:
            if not any(place.is_relative_to(root) for root in self._resolved):
                raise SourceForbidden(src)


def check_name(name: str) -> None:
    """Raises BadRequest for what cannot be an adapter's name."""
    if not name:
        raise BadRequest("`name` is empty", "name")
    if len(name) > MAX_NAME:
        raise BadRequest(
            f"`name` has {len(name)} characters, more than {MAX_NAME}", "name"
        )
    if not name.isprintable() or "/" in name or name.startswith("."):
        raise BadRequest(
            "`name` must be one path segment of printable characters that does not "
            "begin with a dot",
            "name",
        )
