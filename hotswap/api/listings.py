"""Listings: one adapter out of the engine's listing, and how the world may see it."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from hotswap.adapters.adapter_info import AdapterInfo
from hotswap.adapters.origin import Origin


def find(rows: Sequence[AdapterInfo], name: str) -> AdapterInfo | None:
    """The row of `name`. The rows are sorted by name."""
    place = bisect_left(rows, name, key=lambda row: row.name)
    if place < len(rows) and rows[place].name == name:
        return rows[place]
    return None


def source(origin: Origin, directory: Path | None, *, show_paths: bool) -> str:
    """Where an adapter comes from, without telling where that lies on the disk.

    In `directory` it is the path that a registration could name.
    """
    path = Path(origin.src)
    if show_paths:
        return str(path.absolute())
    if directory is not None and path.absolute().is_relative_to(directory.absolute()):
        return str(path.absolute().relative_to(directory.absolute()))
    return path.name if path.is_absolute() else origin.src
