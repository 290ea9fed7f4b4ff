"""Links: the local directory of a mirror, a link for each adapter to its content."""

import hashlib
import os
import uuid
from pathlib import Path

from hotswap.cache import cache_dir
from hotswap.errors import StartFailed
from hotswap.sources.location import Location


def mirror_directory(location: Location) -> Path:
    """Where the links of a place are: always there for the same one, as what was
    registered is noted there. Raises StartFailed if it cannot be made."""
    mark = hashlib.sha256(location.plain.encode()).hexdigest()[:16]
    directory = cache_dir() / "mirrors" / f"{location.name}-{mark}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartFailed(f"adapters directory {directory}: {error.strerror}") from None
    return directory


def link(directory: Path, name: str, folder: Path) -> None:
    """Let `name` lead to `folder`, in one step from where it led. Raises OSError."""
    beside = directory / f".link-{uuid.uuid4().hex}"
    beside.symlink_to(folder, target_is_directory=True)
    try:
        os.replace(beside, directory / name)
    except OSError:
        beside.unlink()
        raise


def contents(directory: Path) -> dict[str, str]:
    """The digest that each link leads to, by name. Raises OSError."""
    links = [path for path in sorted(directory.iterdir()) if path.is_symlink()]
    return {path.name: Path(os.readlink(path)).name for path in links}
