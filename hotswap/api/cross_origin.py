"""Cross-origin: what a web page may ask of this server.

Any page that somebody on this machine opens can send requests here. It cannot read the
answers (no CORS headers go out but to `[server] cors_origins`), but what it sends
without asking first ("simple" requests: GET, and POST as text, form or without a type)
would be done. The rules, and why:

- *A request that changes something or makes the model work* (POST, DELETE) is refused
  if a page of another origin sends it. Browsers say so on each of them: `Origin` comes
  with every POST, `Sec-Fetch-Site` with every request to localhost. curl, SDKs and
  gateways send neither, and nothing changes for them. A page's own origin and
  `cors_origins` pass.
- *A body must say that it is JSON*, which a page cannot without a preflight. Two
  exceptions, only for what does not come from a browser: no type at all, and
  `application/x-www-form-urlencoded`, which is what `curl -d` says. Where the
  operator's handler reads the body, it is of any type.
- *Routes that manage or tell what is here* (`route_access` has them as admin) take only
  a `Host` that is ours. By DNS
  rebinding the page `http://evil.example` becomes a site of this server itself, where
  the first rule sees the same origin and GET is read without asking; but its Host is
  still evil.example. Ours are IP addresses, names without a dot or under .localhost,
  .local and .internal (which nobody can register), and `[server] hosts`. Routes that
  generate, and health, take any: they stand behind proxies that pass any name on, and
  tell nothing but what the model says.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from litestar import Request
from litestar.config.cors import CORSConfig

from hotswap.api.shared.http_errors import CrossSite, NotJson
from hotswap.api.shared.route_access import Access, access_of

_SAFE = ("GET", "HEAD", "OPTIONS")
_FORM = "application/x-www-form-urlencoded"
_JSON = re.compile(r"application/([\w.-]+\+)?json")
_TELLS = [
    "x-hotswap-adapter",
    "x-hotswap-generation",
    "x-hotswap-mode",
    "x-request-id",
    "retry-after",
]


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """`hosts`: names of this server, besides those that can be nobody else's.
    `origins`: pages that may ask anything, "*" for all. `has_handler`: that reads the
    bodies of `HANDLED` routes."""

    hosts: Collection[str] = ()
    origins: Collection[str] = ()
    has_handler: bool = False

    def cors(self) -> CORSConfig | None:
        """None: no page of another origin may read an answer."""
        if not self.origins:
            return None
        return CORSConfig(allow_origins=list(self.origins), expose_headers=_TELLS)

    async def admit(self, request: Request) -> None:
        """Raises CrossSite or NotJson."""
        headers = request.headers
        host = headers.get("host", "")
        if access_of(request) is Access.ADMIN and not self._is_ours(host):
            raise CrossSite(
                f"the Host `{host}` is not one of this server's: name it in `hosts` "
                "under [server]",
                "Host",
            )
        if request.method in _SAFE:
            return
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        is_page = origin is not None or site is not None
        if is_page and not self._is_allowed(origin, site, host):
            raise CrossSite(
                f"a page of `{origin or site}` may not ask this server: name its "
                "origin in `cors_origins` under [server]",
                "Origin",
            )
        is_handled = self.has_handler and request.route_handler.opt.get("handled")
        if _has_body(request) and (is_page or not is_handled):
            _check_type(headers.get("content-type"), is_page)

    def _is_ours(self, host: str) -> bool:
        name = _split(f"//{host}").hostname or ""
        if not name:
            return not host  # HTTP/1.0 has none, and no browser speaks it
        if "." not in name and ":" not in name:
            return True
        if name.endswith((".localhost", ".local", ".internal")) or name in self.hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _is_allowed(self, origin: str | None, site: str | None, host: str) -> bool:
        if "*" in self.origins or origin in self.origins:
            return True
        if origin is None:
            return site in ("same-origin", "none")
        return bool(host) and _split(origin).netloc == host


# Nothing but the rules.
PLAIN = CrossOrigin()


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _has_body(request: Request) -> bool:
    headers = request.headers
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _check_type(said: str | None, is_page: bool) -> None:
    kind = (said or "").partition(";")[0].strip().lower()
    if _JSON.fullmatch(kind) or (kind in ("", _FORM) and not is_page):
        return
    raise NotJson(kind or "none")
