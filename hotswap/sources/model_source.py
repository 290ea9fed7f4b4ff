"""Model source: the model's files, where the model is named by a URL.

Whoever starts the server names it, so it need not be among `sources`. What was fetched
before is served when its place does not answer.
"""

import logging
from functools import cache

from hotswap.cache import cache_dir
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused, HotswapError, StartFailed
from hotswap.sources.cache_users import Held
from hotswap.sources.content_cache import KEY, ContentCache
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import parse

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


def _strange(text: str) -> HotswapError:
    return StartFailed(text)
