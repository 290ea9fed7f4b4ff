"""Adapter watch: the adapters directory, here or elsewhere, and what fetches.

Parts of the server; `assembly` puts them to the others.
"""

from typing import Any

from hotswap.cache import cache_dir
from hotswap.config import Config
from hotswap.library.library import Library
from hotswap.library.remote_watch import RemoteWatch
from hotswap.library.watch import Watch
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
