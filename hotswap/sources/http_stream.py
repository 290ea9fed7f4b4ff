"""HTTP stream: the bytes of one answer, from a place where they may come from.

Redirects are followed by hand: each step has to be allowed, and credentials go to the
first host alone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import httpx2

from hotswap.sources.location import Location
from hotswap.sources.remote import away, denied, refused_with

_MOST_REDIRECTS = 5
_PARTIAL = 206
_FIRST_ERROR = 400
_SECRET = ("authorization", "cookie")


@contextmanager
def http_faults(location: Location) -> Iterator[None]:
    """What the library raises, as ours."""
    try:
        yield
    except httpx2.TimeoutException:
        raise away(location, "it does not answer") from None
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
        raise away(location, f"it breaks off ({type(error).__name__})") from None


@contextmanager
def opened(
    client: httpx2.Client,
    url: str,
    location: Location,
    *,
    may_follow: Callable[[str], bool],
    headers: Mapping[str, str],
    patience_s: float,
) -> Iterator[httpx2.Response]:
    """The answer, its body unread. `may_follow`: whether a redirect may lead there."""
    sent = {**headers, "accept-encoding": "identity"}
    for _ in range(_MOST_REDIRECTS + 1):
        with (
            http_faults(location),
            client.stream(
                "GET",
                url,
                headers=sent,
                follow_redirects=False,
                timeout=httpx2.Timeout(patience_s, connect=min(10.0, patience_s)),
            ) as answer,
        ):
            if not answer.has_redirect_location:
                if answer.status_code >= _FIRST_ERROR:
                    raise refused_with(location, answer.status_code)
                yield answer
                return
            target = urljoin(url, answer.headers["location"])
        if not may_follow(target):
            host = urlsplit(target).netloc.rpartition("@")[2]
            raise denied(
                location,
                f"it leads to {urlsplit(target).scheme}://{host}, which `sources` "
                "under [adapters] does not name",
            )
        if urlsplit(target)[:2] != urlsplit(url)[:2]:
            sent = {k: v for k, v in sent.items() if k.lower() not in _SECRET}
        url = target
    raise away(location, "it leads from one place to the next")


def parts_from(
    answer: httpx2.Response, location: Location, start: int
) -> Iterator[bytes]:
    """The body from the byte `start`, whether or not the server knows ranges."""
    left = 0 if answer.status_code == _PARTIAL else start
    with http_faults(location):
        for part in answer.iter_raw():
            yield part[left:]
            left = max(left - len(part), 0)
