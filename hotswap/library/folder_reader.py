"""Folder reader: all that is read of one adapter's folder, beside the library's thread.

Where its files lie is checked here, too: to follow a link is to ask the disk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hotswap.adapters.files import unreadable
from hotswap.adapters.generation import Generation
from hotswap.adapters.sidecar import Sidecar, read_sidecar
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused
from hotswap.library.adapter_sources import Sources
from hotswap.library.folder_scan import fingerprint_of


@dataclass(frozen=True, slots=True)
class Read:
    folder: Path
    sidecar: Sidecar
    generation: Generation | None  # None: it is read when asked for


class FolderReader:
    """For any thread."""

    def __init__(self, read: Callable[[Path], Generation], sources: Sources) -> None:
        self._read = read
        self._sources = sources

    def source(self, src: str, fetched: Path | None = None, *, whole: bool) -> Read:
        """What a client names, which may have been `fetched`; `whole`: with its
        generation."""
        with error_boundary(_unreadable):
            if fetched is None:
                return self._folder(self._sources.find(src), whole)
            return self._folder(self._sources.checked(fetched, src), whole)

    def folder(self, folder: Path, name: str, *, whole: bool = True) -> Read:
        """A folder that is known. Raises what the sources and its files say."""
        with error_boundary(_unreadable):
            self._sources.check(folder, name)
            return self._folder(folder, whole)

    def _folder(self, folder: Path, whole: bool) -> Read:
        try:
            before = fingerprint_of(folder)
            sidecar = read_sidecar(folder)
            with error_boundary(_unreadable):  # it says itself what is passing
                made = self._read(folder) if whole else None
            is_same = fingerprint_of(folder) == before
        except OSError as error:
            raise unreadable(error) from None
        if not is_same:  # the settings of one adapter, the weights of the next
            raise AdapterRefused(
                "changing", "its files change while they are read", is_passing=True
            )
        return Read(folder, sidecar, made)


def _unreadable(said: str) -> AdapterRefused:
    """Whatever it is: who waits for a read must hear of it."""
    return AdapterRefused("unreadable", said)
