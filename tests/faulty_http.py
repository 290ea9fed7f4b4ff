"""A server of HTTP on loopback that breaks off, falls silent or says too much.

What it answers is a function; what goes wrong is said by a part of the path.
"""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Headers = Mapping[str, str]
Answer = tuple[int, Headers, bytes]


@dataclass
class Faults:
    """By a part of the path. `cuts`: bytes of the next answers before the connection
    is closed, one number for each. `silent`: the same of those that fall silent.
    `statuses`: in place of the answer. `rewrite`: what is done to an answer's body.
    `no_ranges`: whole bodies alone."""

    cuts: dict[str, list[int]] = field(default_factory=dict)
    silent: dict[str, list[int]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    rewrite: Callable[[str, bytes], bytes] = lambda path, body: body
    no_ranges: bool = False


@dataclass
class Faulty:
    """The server. `asked`: paths and the range of each, in order; `sent`: headers."""

    answer: Callable[[str, str, Headers], Answer]
    tls: ssl.SSLContext | None = None
    faults: Faults = field(default_factory=Faults)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: list[Headers] = field(default_factory=list)
    url: str = ""
    gate: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def asked_for(self, part: str) -> list[str]:
        """The ranges that were asked for of such a path."""
        return [ranges for path, ranges in self.asked if part in path]

    def fault(self, table: Mapping[str, object], path: str) -> str | None:
        return next((part for part in table if part in path), None)

    @contextmanager
    def running(self) -> Iterator["Faulty"]:
        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"faulty": self})
        )
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        scheme = "http"
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        host = "localhost" if self.tls else "127.0.0.1"
        self.url = f"{scheme}://{host}:{server.server_address[1]}"
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        try:
            yield self
        finally:
            self.gate.set()
            server.shutdown()
            thread.join(10)
            server.server_close()


def ranged(body: bytes, headers: Headers, extra: Headers) -> Answer:
    """As a server that knows ranges answers a GET."""
    said = headers.get("range", "")
    if not said.startswith("bytes="):
        return 200, extra, body
    first, _, last = said.removeprefix("bytes=").partition("-")
    end = int(last) + 1 if last else len(body)
    part = body[int(first) : end]
    where = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
    return 206, {**extra, "content-range": where}, part


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: Faulty

    def _serve(self) -> None:
        headers = {k.lower(): v for k, v in self.headers.items()}
        self.rfile.read(int(headers.get("content-length") or 0))
        self.faulty.asked.append((self.path, headers.get("range", "")))
        self.faulty.sent.append(headers)
        faults = self.faulty.faults
        if faults.no_ranges:
            headers.pop("range", None)
        bad = self.faulty.fault(faults.statuses, self.path)
        if bad is not None:
            self._send(faults.statuses[bad], {}, b"no")
            return
        status, extra, body = self.faulty.answer(self.command, self.path, headers)
        self._send(status, extra, faults.rewrite(self.path, body))

    def _send(self, status: int, extra: Headers, body: bytes) -> None:
        self.send_response(status)
        for name, value in extra.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        is_head = self.command == "HEAD"
        length = extra.get("content-length") if is_head else None
        self.send_header("content-length", length or str(len(body)))
        self.end_headers()
        if is_head:
            return
        for start in range(0, len(body), 1024):
            part = body[start : start + 1024]
            if self._ends(start + len(part)):
                return
            self.wfile.write(part)

    def _ends(self, sent: int) -> bool:
        """Whether the answer breaks off here; it may fall silent before."""
        faulty, faults = self.faulty, self.faulty.faults
        if _is_next(faults.silent, faulty.fault(faults.silent, self.path), sent):
            self.wfile.flush()
            faulty.reached.set()
            faulty.gate.wait(30)
            self.close_connection = True
            return True
        if _is_next(faults.cuts, faulty.fault(faults.cuts, self.path), sent):
            self.close_connection = True
            return True
        return False

    do_GET = do_HEAD = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def _is_next(table: dict[str, list[int]], part: str | None, sent: int) -> bool:
    """Whether a fault of that part is due after so many bytes; then it is over."""
    if part is None or not table[part] or sent <= table[part][0]:
        return False
    table[part].pop(0)
    return True
