"""Start: what can end a start is looked at first, before anything heavy is loaded.

The port is bound here and handed on, so that nobody takes it while the model loads.
"""

import importlib
import importlib.util
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from hotswap import tls
from hotswap.api.shared.endpoints import ENDPOINTS_FILE, Endpoints
from hotswap.config import Config
from hotswap.descriptors import descriptors, open_now, room
from hotswap.errors import BadRequest, StartFailed
from hotswap.keys.key_ring import KeyRing
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.lock import locked
from hotswap.logs.traces_wanted import check_traces
from hotswap.model import model_path
from hotswap.options import unless_auto
from hotswap.port import bind, is_loopback
from hotswap.sources.links import mirror_directory
from hotswap.sources.location import Location, check_pattern, is_location, parse
from hotswap.sources.model_source import check_place, fetched_model

T = TypeVar("T")


@contextmanager
def ready(config: Config) -> Iterator[list[socket.socket]]:
    """The bound sockets to listen on, the adapters directory being ours within.

    Raises StartFailed.
    """
    with checked(config), ExitStack() as held:
        bound = bind(config.server.host, config.server.port)
        for each in bound:
            held.enter_context(each)
        if not (key_ring(config).has_admin or config.server.allow_anyone):
            _check_reach(config.server.host, bound)
        model_folder(config)
        yield bound


@contextmanager
def checked(config: Config) -> Iterator[None]:
    """All but the port: the adapters directory is ours within. Raises StartFailed."""
    if not config.model.path:
        raise StartFailed("no model: name one, or set `path` under [model]")
    model_path.check(config.model.path)
    if model_path.is_hub_id(config.model.path):
        # Its library takes half a second, and a folder needs none of it.
        hub = importlib.import_module("hotswap.model.hub")
        hub.is_on_hub(config.model.path)
    for pattern in config.adapters.sources:
        _check_url(partial(check_pattern, pattern), "adapters.sources")
    directory = adapters_directory(config)
    for root in config.adapters.roots:
        if not Path(root).is_dir():
            raise StartFailed(f"adapters root {root}: no such folder")
    _check_connections(unless_auto(config.limits.connections))
    if config.hooks.module:
        _check_module("hooks module", config.hooks.module)
    if config.hooks.handler:
        _check_module("hooks handler", config.hooks.handler)
    check_traces(config.log, os.environ)
    tls.check(config.server.tls_cert, config.server.tls_key)
    key_ring(config)
    remote = remote_directory(config)
    if remote is not None and config.adapters.shared:
        raise StartFailed(
            "adapters.shared: a directory that is a URL is copied to each machine; "
            "servers share one that is mounted on all of them"
        )
    if remote is not None and directory is not None:
        check_place(remote, directory)
    with ExitStack() as held:
        if directory is not None:
            held.enter_context(locked(directory, is_shared=config.adapters.shared))
            Journal(directory / JOURNAL_FILE)
            Endpoints(directory / ENDPOINTS_FILE)
        yield


def model_folder(config: Config) -> Path | None:
    """Where the files are of a model that is named by a URL. Raises StartFailed."""
    adapters, path = config.adapters, config.model.path
    if not is_location(path):
        return None
    most = int(adapters.source_cache_gb * 2**30)
    return fetched_model(path, most, adapters.sources).folder


def remote_directory(config: Config) -> Location | None:
    """Where the adapters directory is, if that is elsewhere. Raises StartFailed."""
    named = config.adapters.directory
    if not is_location(named) or not config.lora.enable_lora:
        return None
    return _check_url(partial(parse, named), "adapters.directory")


def adapters_directory(config: Config) -> Path | None:
    """The directory to watch: for one that is elsewhere, that of the links to what was
    fetched. Raises StartFailed if it is not there."""
    if not config.adapters.directory or not config.lora.enable_lora:
        return None
    remote = remote_directory(config)
    if remote is not None:
        return mirror_directory(remote)
    directory = Path(config.adapters.directory)
    if not directory.is_dir():
        raise StartFailed(f"adapters directory {directory}: no such folder")
    return directory


def key_ring(config: Config) -> KeyRing:
    """Who may ask the server. Raises StartFailed."""
    server = config.server
    return KeyRing(
        api_keys=server.api_keys, admin_keys=server.admin_keys, environment=os.environ
    )


def _check_url(check: Callable[[], T], key: str) -> T:
    try:
        return check()
    except BadRequest as error:
        raise StartFailed(f"{key}: {error}") from None


def _check_reach(host: str, bound: Sequence[socket.socket]) -> None:
    """Raises StartFailed if others than this machine can reach a server that anybody
    may manage."""
    if all(is_loopback(each) for each in bound):
        return
    raise StartFailed(
        f"server.host {host}: others can reach it, and it has no admin key: make one "
        "by `hotswap key new --admin --file FILE` and say --admin-keys FILE (or set "
        "HOTSWAP_ADMIN_KEYS), or say --allow-anyone"
    )


def _check_module(what: str, module: str) -> None:
    """That there is one; it is not run yet."""
    try:
        if module.endswith(".py"):
            is_there = Path(module).is_file()
        else:
            # Of a dotted name only the first part: the rest would run its packages.
            is_there = importlib.util.find_spec(module.partition(".")[0]) is not None
    except (OSError, ValueError, ImportError):
        is_there = False
    if not is_there:
        raise StartFailed(f"{what} {module}: no such module")


def _check_connections(wanted: int | None) -> None:
    """That there are descriptors for them, beside those of adapters' files."""
    most, _ = room(descriptors(), open_now())
    if wanted is not None and wanted > most:
        raise StartFailed(
            f"limits.connections: {wanted} is more than the {most} that this process' "
            "descriptors allow: raise their limit (ulimit -n, LimitNOFILE), or ask for "
            "fewer"
        )
