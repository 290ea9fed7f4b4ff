"""Wanted files: which of a folder's files are taken, and how large they may be.

Weights as safetensors, settings, tokenizers and templates: data, of a form that runs
nothing when it is read. A pickle (`.bin`, `.pt`) can, and code is code; those and all
else stay where they are.
"""

from collections.abc import Iterable

from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.errors import AdapterRefused
from hotswap.sources.location import Location
from hotswap.sources.remote import RemoteFile, absent

ENDINGS = (".safetensors", ".json", ".jinja", ".txt", ".model")
ARCHIVE = "archive.tar"  # what an archive is called until it is unpacked
MOST_FILES = 500  # a model's weights are in some 200 at most


def is_wanted(name: str) -> bool:
    """Of a file, by the name that it has in its folder."""
    is_name = "/" not in name and "\\" not in name and name.isprintable()
    if not is_name or name.startswith(".") or len(name.encode()) > 255:
        return False
    return name.endswith(ENDINGS) or name == SIDECAR_FILE


def wanted(
    location: Location, files: Iterable[RemoteFile], most_bytes: int, key: str
) -> list[RemoteFile]:
    """Those that are taken, in order of name. `key`: the setting that says
    `most_bytes`. Raises AdapterRefused if there is none, or too much."""
    taken = sorted((f for f in files if is_wanted(f.name)), key=lambda f: f.name)
    if not taken:
        raise absent(location, f"no file there ends in {', '.join(ENDINGS)}")
    if len(taken) > MOST_FILES:
        raise too_large(location, f"{len(taken)} files", str(MOST_FILES), "")
    check_size(location, sum(file.size for file in taken), most_bytes, key)
    return taken


def check_size(location: Location, size: int, most_bytes: int, key: str) -> None:
    """Raises AdapterRefused for more than the setting `key` allows."""
    if size > most_bytes:
        raise too_large(location, f"{size} bytes", str(most_bytes), key)


def too_large(location: Location, found: str, most: str, key: str) -> AdapterRefused:
    where = f" ({key})" if key else ""
    text = f"{location.plain} has {found}; the limit is {most}{where}"
    return AdapterRefused("too_large", text)
