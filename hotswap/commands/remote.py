"""Remote: what a command asks a running server, over HTTP, by the standard library.

No proxy is asked, as it would be by `http_proxy` for a server on this machine too, and
no redirect is followed: the key is for the server that was named.
"""

import argparse
import json
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from hotswap.errors import CommandFailed
from hotswap.logs.printable import MOST_OF_FIELD, cut, printable

KEY_VARIABLE = "HOTSWAP_API_KEY"
_LIMIT_S = 600.0  # a load is answered when the adapter can be used
_MOST_BYTES = 64 << 20


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())


class Remote:
    """A running server at `url`. `key`: "" for none."""

    def __init__(self, url: str, key: str) -> None:
        """Raises CommandFailed for a URL that is none of a server."""
        url = url if "://" in url else f"http://{url}"
        try:
            parts = urlsplit(url)
            is_right = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            is_right = False
        if not is_right:
            raise CommandFailed(f"--url {url}: it is like http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        self._key = key

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of the answer, or its text. Raises CommandFailed with what the
        server says, or why there is none."""
        request = urllib.request.Request(self.url + path, method=method)
        if self._key:
            request.add_header("Authorization", f"Bearer {self._key}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with _OPENER.open(request, timeout=_LIMIT_S) as answer:
                return _read(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                told = _told(_read(error.read(_MOST_BYTES)))
            raise CommandFailed(f"{self.url}: {error.code} {told}") from None
        except urllib.error.URLError as error:
            why = getattr(error.reason, "strerror", None) or error.reason
            raise CommandFailed(f"no server at {self.url}: {why}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise CommandFailed(f"{self.url}: {printable(str(error))}") from None


def add_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url", default="http://127.0.0.1:8080", help="of the server (%(default)s)"
    )
    command.add_argument(
        "--key",
        default=os.environ.get(KEY_VARIABLE, ""),
        help="an admin key, where the server has keys; better the variable "
        f"{KEY_VARIABLE}, which no list of processes shows",
    )
    command.add_argument("--json", action="store_true", help="as the server tells it")


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")


def _told(body: Any) -> str:
    """What an error's answer says, in any shape of ours, as one line."""
    match body:
        case {"error": {"message": str(message)}} | {"message": str(message)}:
            return printable(cut(message, MOST_OF_FIELD))
        case {"error": str(message)}:
            return printable(cut(message, MOST_OF_FIELD))
        case _:
            return printable(cut(str(body), MOST_OF_FIELD))
