"""The page at `/`: its files, which are the same for everybody and hold no secret.

They are read once. The page loads nothing from elsewhere, runs no script but these
files, and makes HTML of no text (`require-trusted-types-for`): what an adapter's name
or an error says cannot become code, and no other site can show the page in a frame.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
}
_HEADERS = {
    "content-security-policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Kept, and asked for again each time: a new version is never mixed with an old one.
    "cache-control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    etag: str


def _files() -> dict[str, _File]:
    found = {}
    for place in (resources.files("hotswap") / "page").iterdir():
        content = place.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        kind = _TYPES[place.name.rpartition(".")[2]]
        found[place.name] = _File(content, kind, etag)
    return found


_FILES = _files()


@get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    return _answer(request, _FILES["index.html"])


@get("/page/{name:str}", include_in_schema=False)
async def file(request: Request, name: FromPath[str]) -> Response:
    """What the page loads."""
    found = _FILES.get(name)
    if found is None:
        raise NotFoundException
    return _answer(request, found)


def _answer(request: Request, found: _File) -> Response:
    """304 if the client has it already (RFC 9110, section 13.1.2)."""
    headers = {**_HEADERS, "etag": found.etag}
    said = request.headers.get("if-none-match", "")
    known = {tag.strip().removeprefix("W/") for tag in said.split(",")}
    if found.etag in known or said.strip() == "*":
        return Response(None, status_code=304, headers=headers)
    return Response(found.content, media_type=found.kind, headers=headers)


ROUTES = [page, file]
