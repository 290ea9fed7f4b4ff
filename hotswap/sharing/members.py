"""Members: the servers that share a directory, a file each, and what they have done.

A server holds a lock on a file of its own as long as it lives, however it ends: whose
lock is free has gone, and is forgotten by whoever looks.
"""

import logging
import os
import socket
import uuid
from pathlib import Path

import msgspec
from msgspec import Struct

from hotswap.errors import StartFailed
from hotswap.library.json_file import read_json, write_json
from hotswap.library.lock import try_lock

log = logging.getLogger(__name__)

FOLDER = ".hotswap-servers"
_LOCK, _TOLD = ".lock", ".json"


class Row(Struct, frozen=True, kw_only=True):
    """How a server answers for a name. `generation`: None if it was not read yet.
    `reason`: why its files are refused."""

    is_served: bool
    generation: str | None = None
    reason: str | None = None

    def agrees(self, other: "Row") -> bool:
        """Whether the same is served, as far as it was read."""
        keys = {self.generation, other.generation} - {None}
        return self.is_served == other.is_served and len(keys) <= 1


class Told(Struct, frozen=True, kw_only=True):
    """Up to which content of the shared files a server has done what they say, and the
    names that were changed last."""

    files: tuple[str, ...]
    rows: dict[str, Row] = {}


class Members:
    """`name`: of this server, another than any other's."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        self._handle: int | None = None

    def join(self) -> None:
        """Before the shared files are read. Raises StartFailed."""
        mine = self._folder / f"{self.name}{_LOCK}"
        try:
            while self._handle is None:
                handle = try_lock(mine, creates=True)
                if handle is None:
                    raise StartFailed(f"{mine}: another server has this name")
                if _is_there(mine, handle):  # and not just removed by who looked
                    self._handle = handle
                else:
                    os.close(handle)
        except OSError as error:
            why = error.strerror or error
            raise StartFailed(
                f"adapters.shared: {self._folder} cannot be locked: {why}"
            ) from None

    def leave(self) -> None:
        if self._handle is not None:
            self._remove(self.name)
            os.close(self._handle)
            self._handle = None

    def tell(self, told: Told) -> None:
        """Raises OSError."""
        write_json(self._folder / f"{self.name}{_TOLD}", msgspec.to_builtins(told))

    def all(self) -> dict[str, Told | None]:
        """Those that live, by name; None has told nothing yet. Raises OSError."""
        found: dict[str, Told | None] = {}
        for path in sorted(self._folder.glob(f"*{_LOCK}")):
            name = path.name.removesuffix(_LOCK)
            if name == self.name or self._lives(path, name):
                found[name] = self._told(name)
        return found

    def _lives(self, path: Path, name: str) -> bool:
        try:
            handle = try_lock(path, creates=False)
        except FileNotFoundError:
            return False
        if handle is None:
            return True
        try:
            self._remove(name)
            log.info("a server that shared the adapters is gone server=%s", name)
        finally:
            os.close(handle)
        return False

    def _told(self, name: str) -> Told | None:
        try:
            return read_json(self._folder / f"{name}{_TOLD}", Told, "server")
        except StartFailed as error:
            log.warning("%s", error)
            return None

    def _remove(self, name: str) -> None:
        for suffix in (_TOLD, _LOCK):
            (self._folder / f"{name}{suffix}").unlink(missing_ok=True)


def own_name() -> str:
    """By host and process, for people, and unlike that of any other server."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:4]}"


def _is_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
