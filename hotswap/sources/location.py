"""Location: a URL of a model or an adapter, taken apart.

    s3://BUCKET/FOLDER
    hf://ORGANISATION/NAME[@REVISION][/FOLDER]
    https://HOST/PATH.tar.gz[?QUERY]

A query may be a signature that opens what it names, so it is sent to its host and told
to nobody else. Names and passwords in a URL are refused: credentials come from where
the libraries look for them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from hotswap.errors import BadRequest

SCHEMES = ("s3", "hf", "https")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_S3 = re.compile(r"(?P<host>[a-z0-9][a-z0-9.-]{1,62})(?:/(?P<path>[^?#]*))?")
_HUB = re.compile(
    r"(?P<host>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[^/@?#]+))?"
    r"(?:/(?P<path>[^?#]*))?",
    re.ASCII,
)
_HTTPS = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-fA-F:.]+\](?::\d{1,5})?)"
    r"/(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?",
    re.ASCII,
)
_FORMS = {"s3": _S3, "hf": _HUB, "https": _HTTPS}
ARCHIVES = (".tar.gz", ".tgz", ".tar")
_MOST_CHARACTERS = 4096  # a signed URL has some 1,500
_SECRETS = re.compile(
    r"(?P<url>\w+://)(?:[^\s/@]*@)?(?P<rest>[^\s?'\"]*)(?:\?[^\s'\"]*)?"
)


@dataclass(frozen=True, slots=True)
class Location:
    """`host`: a bucket, a repository, or a host with its port. `path`: what is named in
    it, without slashes at its ends; "" is all of it."""

    scheme: str
    host: str
    path: str = ""
    revision: str = ""
    query: str = ""

    @property
    def plain(self) -> str:
        """As anybody may know it: without its query."""
        at = f"@{self.revision}" if self.revision else ""
        below = f"/{self.path}" if self.path else ""
        return f"{self.scheme}://{self.host}{at}{below}"

    @property
    def url(self) -> str:
        """For its own server alone."""
        return f"{self.plain}?{self.query}" if self.query else self.plain

    @property
    def name(self) -> str:
        """Its last part, without what says that it is an archive."""
        last = (self.path or self.host).rpartition("/")[2]
        ending = next((e for e in ARCHIVES if last.endswith(e)), "")
        return last.removesuffix(ending) or last

    def below(self, name: str) -> "Location":
        """A folder in it."""
        return replace(self, path=f"{self.path}/{name}" if self.path else name)

    def is_allowed(self, patterns: Iterable[str]) -> bool:
        """Whether one of them names it: as it is, or up to a last `/*`. One without a
        revision is for all."""
        without = replace(self, revision="").plain
        return any(
            text.startswith(pattern[:-1]) if pattern.endswith("/*") else text == pattern
            for pattern in patterns
            for text in (self.plain, without)
        )


def scheme_of(text: str) -> str | None:
    """Of a URL, in small letters; None of a path."""
    found = _SCHEME.match(text)
    return found[1].lower() if found else None


def is_location(text: str) -> bool:
    """Whether files are fetched from there."""
    return scheme_of(text) in SCHEMES


def parse(
    text: str, field: str = "src", *, endings: tuple[str, ...] = ARCHIVES
) -> Location:
    """`endings`: of what HTTPS may name. Raises BadRequest, which names `field`, for
    what is no such URL."""
    scheme = scheme_of(text) or ""
    if scheme not in SCHEMES or len(text) > _MOST_CHARACTERS or not text.isprintable():
        raise _bad(text, field, f"no URL of {', '.join(SCHEMES)}")
    found = _FORMS[scheme].fullmatch(text[len(scheme) + 3 :])
    if found is None:
        raise _bad(text, field, "no URL as this server reads them")
    parts = {name: value or "" for name, value in found.groupdict().items()}
    path = parts["path"].strip("/")
    _check_path(unquote(path) if scheme == "https" else path, text, field)
    if scheme == "https" and not path.endswith(endings):
        raise _bad(text, field, f"no archive: it ends in none of {', '.join(endings)}")
    return Location(
        scheme=scheme,
        host=parts["host"].lower() if scheme == "https" else parts["host"],
        path=path,
        revision=parts.get("revision", ""),
        query=parts.get("query", ""),
    )


def check_pattern(pattern: str) -> None:
    """Raises BadRequest for one that could not be meant."""
    named = pattern.removesuffix("/*")
    scheme = scheme_of(pattern) or ""
    below = named[len(scheme) + 3 :]
    if scheme not in SCHEMES or not below or re.search(r"[*?#@\s]", _unrevised(below)):
        raise BadRequest(
            f"{without_secrets(pattern)} names no place such as s3://BUCKET/FOLDER/*, "
            "hf://ORGANISATION/* or https://HOST/*",
            "adapters.sources",
        )


def without_secrets(text: str) -> str:
    """A text without what may stand in URLs before the host and behind the path."""
    return _SECRETS.sub(r"\g<url>\g<rest>", text)


def _unrevised(below: str) -> str:
    return re.sub(r"(?<=\w)@[\w./-]+$", "", below)


def _check_path(path: str, text: str, field: str) -> None:
    parts = path.split("/")
    if "\\" in path or not path.isprintable() or any(p in (".", "..") for p in parts):
        raise _bad(text, field, "no path that goes down alone")
    if "" in parts[:-1] or len(parts) > 32:
        raise _bad(text, field, "no path of a folder")


def _bad(text: str, field: str, why: str) -> BadRequest:
    return BadRequest(f"`{without_secrets(text[:300])}` is {why}", field)
