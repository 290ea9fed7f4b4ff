"""Archive URL: `https://HOST/PATH.tar.gz`, one tar archive.

What the URL gives is asked with a GET of one byte: a signature of S3's is for GET
alone. Redirects lead only where `sources` under [adapters] allows.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import httpx2

from hotswap.errors import BadRequest
from hotswap.sources.http_stream import opened, parts_from
from hotswap.sources.location import Location, parse
from hotswap.sources.remote import Parts, RemoteFile, absent, changed
from hotswap.sources.wanted_files import ARCHIVE

_PARTIAL = 206


def make(patience_s: float, allowed: Sequence[str]) -> "ArchiveUrl":
    return ArchiveUrl(patience_s, allowed)


class ArchiveUrl:
    def __init__(self, patience_s: float, allowed: Sequence[str]) -> None:
        """`patience_s`: how long no byte may come. `allowed`: where redirects to
        another host may lead, as patterns."""
        self._patience_s = patience_s
        self._allowed = allowed

    def files(self, location: Location) -> Sequence[RemoteFile]:
        with self._opened(location, {"range": "bytes=0-0"}) as answer:
            headers = answer.headers
            said = headers.get("content-length", "")
            if answer.status_code == _PARTIAL:
                said = headers.get("content-range", "").rpartition("/")[2]
            etag = headers.get("etag") or headers.get("last-modified")
        if not said.isdecimal():
            raise absent(location, "the server does not say how large it is")
        size = int(said)
        # Without a mark it may be another one each time.
        mark = etag or uuid.uuid4().hex
        return [RemoteFile(name=ARCHIVE, size=size, etag=mark)]

    def folders(self, location: Location) -> Mapping[str, Sequence[RemoteFile]]:
        raise absent(location, "an archive is no directory that can be looked at")

    def read(self, location: Location, file: RemoteFile, start: int) -> Parts:
        headers = {"range": f"bytes={start}-"} if start else {}
        if file.etag.startswith('"'):  # a strong one
            headers["if-match"] = file.etag
        with self._opened(location, headers) as answer:
            now = answer.headers.get("etag") or answer.headers.get("last-modified")
            if now is not None and now != file.etag:
                raise changed(location, "it")
            yield from parts_from(answer, location, start)

    @contextmanager
    def _opened(
        self, location: Location, headers: Mapping[str, str]
    ) -> Iterator[httpx2.Response]:
        with (
            httpx2.Client() as client,
            opened(
                client,
                location.url,
                location,
                may_follow=partial(self._may_follow, location),
                headers=headers,
                patience_s=self._patience_s,
            ) as answer,
        ):
            yield answer

    def _may_follow(self, location: Location, url: str) -> bool:
        try:
            target = parse(url, endings=("",))
        except BadRequest:
            return False
        is_https = target.scheme == "https"
        is_same = target.host == location.host
        return is_https and (is_same or target.is_allowed(self._allowed))
