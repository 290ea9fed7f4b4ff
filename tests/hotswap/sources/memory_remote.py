"""A place in memory: folders of files, which may be away."""

import hashlib
from collections.abc import Mapping, Sequence

from hotswap.errors import AdapterRefused
from hotswap.sources.location import Location
from hotswap.sources.remote import Parts, RemoteFile, absent, away, denied


class MemoryRemote:
    """`there`: files by folder, which is a location's path. `is_away`: nothing of it
    answers; `is_closed`: or is refused. `read_of`: what was read, in order."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, bytes]] = {}
        self.is_away = False
        self.is_closed = False
        self.refused: set[str] = set()  # folders that may not be read
        self.read_of: list[str] = []

    def files(self, location: Location) -> Sequence[RemoteFile]:
        self._meet(location)
        if location.path not in self.there:
            raise absent(location)
        return _listed(self.there[location.path])

    def folders(self, location: Location) -> Mapping[str, Sequence[RemoteFile]]:
        self._meet(location)
        inside = f"{location.path}/" if location.path else ""
        return {
            path.removeprefix(inside): _listed(files)
            for path, files in self.there.items()
            if path.startswith(inside)
        }

    def read(self, location: Location, file: RemoteFile, start: int) -> Parts:
        self._meet(location)
        if location.path in self.refused:
            raise AdapterRefused("source_denied", f"{location.plain} is closed")
        self.read_of.append(f"{location.path}/{file.name}")
        yield self.there[location.path][file.name][start:]

    def _meet(self, location: Location) -> None:
        if self.is_closed:
            raise denied(location, "it may not be read")
        if self.is_away:
            raise away(location, "nothing answers")


def _listed(files: Mapping[str, bytes]) -> list[RemoteFile]:
    return [
        RemoteFile(name=name, size=len(b), etag=hashlib.md5(b).hexdigest())
        for name, b in files.items()
    ]
