"""Endpoints: names under /predictions that each stand for one adapter.

DJL's adapter workflows without the workflow language. They are kept in a small file
beside the adapters, so that they are there again after a restart.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from hotswap.api.shared.djl_errors import UnknownEndpoint
from hotswap.library.json_file import read_json, write_json
from hotswap.short_thread import in_short_thread

ENDPOINTS_FILE = ".hotswap-endpoints.json"


class Endpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`owns_adapter`: the adapter came with an endpoint and goes with the last one."""

    adapter: str
    version: str | None = None
    owns_adapter: bool = False


class Endpoints:
    """Changed by one request at a time: the one that holds `changing`."""

    def __init__(self, path: Path | None, *, disk_patience_s: float = 15.0) -> None:
        """`path` None keeps nothing. `disk_patience_s`: how long the disk may take to
        answer. Raises StartFailed for a file that is broken."""
        self.changing = asyncio.Lock()
        self._path = path
        self._disk_patience_s = disk_patience_s
        self._by_name: Mapping[str, Endpoint] = {}
        self.reload()

    def reload(self) -> None:
        """As the file says, which another server may have written. Raises as a start
        does."""
        path = self._path
        kept = read_json(path, dict[str, Endpoint], "endpoints") if path else None
        self._by_name = kept or {}

    @property
    def by_name(self) -> Mapping[str, Endpoint]:
        return self._by_name

    def adapter(self, name: str) -> str:
        """What `name` stands for. Raises UnknownEndpoint."""
        if name not in self._by_name:
            raise UnknownEndpoint(name)
        return self._by_name[name].adapter

    def is_owned(self, adapter: str) -> bool:
        """Whether some endpoint brought this adapter."""
        return any(
            each.owns_adapter and each.adapter == adapter
            for each in self._by_name.values()
        )

    def put(self, name: str, endpoint: Endpoint) -> None:
        """On the disk when this returns. Raises OSError with nothing changed."""
        self._write({**self._by_name, name: endpoint})

    def remove(self, name: str) -> Endpoint:
        """As `put`. Raises UnknownEndpoint."""
        self.adapter(name)
        gone = self._by_name[name]
        self._write({k: v for k, v in self._by_name.items() if k != name})
        return gone

    def _write(self, by_name: Mapping[str, Endpoint]) -> None:
        if self._path is not None:
            # An exit joins the thread that waits here, and not the short thread's.
            work = partial(write_json, self._path, msgspec.to_builtins(by_name))
            in_short_thread(work, self._disk_patience_s)
        self._by_name = by_name
