"""Adapter watch: the adapters directory, here, elsewhere or shared, and what fetches.

Parts of the server; `assembly` puts them to the others.
"""

from typing import Any

from hotswap.adapters.adapter_info import AdapterState
from hotswap.api.shared.endpoints import ENDPOINTS_FILE, Endpoints
from hotswap.cache import cache_dir
from hotswap.config import Config
from hotswap.engine.engine import Engine
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.library import Library
from hotswap.library.remote_watch import RemoteWatch
from hotswap.library.shared_journal import SharedJournal
from hotswap.library.watch import Watch
from hotswap.sharing.follower import Followed, Follower
from hotswap.sharing.members import FOLDER, Members, Row, own_name
from hotswap.sharing.sharing import Alone, Sharing
from hotswap.sources.content_cache import ContentCache
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.mirror import Mirror
from hotswap.start import adapters_directory, remote_directory


def fetcher_of(config: Config) -> Fetcher:
    """Of adapters. It loads nothing before the first URL."""
    adapters = config.adapters
    return Fetcher(
        ContentCache(cache_dir() / "sources", int(adapters.source_cache_gb * 2**30)),
        most_bytes=int(adapters.source_max_gb * 2**30),
        key="adapters.source_max_gb",
        allowed=adapters.sources,
    )


def watch_of(config: Config, library: Library, fetcher: Fetcher) -> Watch | None:
    """Not started. None: no directory is watched."""
    directory, adapters = adapters_directory(config), config.adapters
    if directory is None:
        return None
    settings: dict[str, Any] = {
        "quiet_s": adapters.quiet_s,
        "seen": library.seen,
        "found": library.found,
        "gone": library.gone,
        "moved": library.moved,
        "polling": adapters.polling,
    }
    location = remote_directory(config)
    if location is None:
        return Watch(directory, **settings)
    mirror = Mirror(
        fetcher,
        location,
        directory,
        poll_s=adapters.source_poll_s,
        quiet_s=adapters.quiet_s,
    )
    return RemoteWatch(directory, mirror, **settings)


def journal_of(config: Config) -> Journal:
    """Raises StartFailed."""
    directory = adapters_directory(config)
    if directory is None:
        return Journal(None)
    if config.adapters.shared:
        folder = directory / FOLDER
        folder.mkdir(exist_ok=True)
        return SharedJournal(directory / JOURNAL_FILE, folder / "journal")
    return Journal(directory / JOURNAL_FILE)


def sharing_of(
    config: Config,
    library: Library,
    journal: Journal,
    engine: Engine,
    endpoints: Endpoints,
) -> Alone:
    """Not started."""
    directory = adapters_directory(config)
    if directory is None or not isinstance(journal, SharedJournal):
        return Alone()
    members = Members(directory / FOLDER, own_name())
    follower = Follower(
        Followed(
            library=library,
            journal=journal,
            row=lambda name: _row(engine, name),
            settled=engine.sync,
            reload=endpoints.reload,
        ),
        members,
        journal=directory / JOURNAL_FILE,
        endpoints=directory / ENDPOINTS_FILE,
    )
    return Sharing(directory / FOLDER, members, follower)


def _row(engine: Engine, name: str) -> Row:
    """How this server answers for a name now."""
    found = engine.status.adapter(name)
    if found is None:
        return Row(is_served=False)
    return Row(
        is_served=found.state is AdapterState.READY,
        generation=found.generation,
        reason=found.reason,
    )
