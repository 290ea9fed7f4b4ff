"""Model source: what the operator names by a URL, looked at when a server starts.

Whoever starts the server names the model and the adapters directory, so they need not
be among `sources`. What was fetched before is served when its place does not answer.
"""

import logging
from functools import cache
from pathlib import Path

from hotswap.cache import cache_dir
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused, HotswapError, StartFailed
from hotswap.sources.cache_users import Held
from hotswap.sources.content_cache import KEY, ContentCache
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.links import contents
from hotswap.sources.location import Location, parse
from hotswap.sources.remote import remote_for

log = logging.getLogger(__name__)


@cache
def fetched_model(url: str, cache_bytes: int, allowed: tuple[str, ...] = ()) -> Held:
    """Its folder, for as long as the process lives. `cache_bytes`: of all that is
    fetched. `allowed`: where redirects may lead. Raises StartFailed."""
    fetcher = Fetcher(
        ContentCache(cache_dir() / "sources", cache_bytes),
        most_bytes=cache_bytes,
        key=KEY,
        allowed=allowed,
    )
    try:
        with error_boundary(_strange):
            location = parse(url, "model.path")
            try:
                return fetcher.fetch(location)
            except AdapterRefused as error:
                kept = fetcher.kept(location) if error.is_passing else None
                if kept is None:
                    raise
                log.warning("its copy in the cache is served: %s", error)
                return kept
    except HotswapError as error:
        raise StartFailed(f"model {error}") from None


def check_place(location: Location, directory: Path) -> None:
    """Raises StartFailed if an adapters directory that lies elsewhere will not be had,
    and nothing of it was served before. `directory`: where its links are."""
    if contents(directory):
        return
    try:
        with error_boundary(_strange):
            remote_for(location.scheme, ()).folders(location)
    except AdapterRefused as error:
        if not error.is_passing:
            raise StartFailed(f"adapters directory {error}") from None


def _strange(text: str) -> HotswapError:
    return StartFailed(text)
