"""Port: bound before the model is loaded, listened on after."""

import errno
import socket
from ipaddress import ip_address
from typing import Any

from hotswap.errors import StartFailed

# What a host is also called, but this machine has not (IPv6 switched off)
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host. None listens yet: until the server is up
    a client is told at once that it is not. Raises StartFailed."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise StartFailed(f"server.host {host}: {why}") from None
    bound: list[socket.socket] = []
    missing = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            bound.append(_bound(family, kind, protocol, address))
        except OSError as error:
            missing = f"server.port {port}: {error.strerror} ({address[0]})"
            if error.errno not in _NOT_HERE:
                break
            missing = f"server.host {host}: {error.strerror} ({address[0]})"
    else:
        if bound:
            return bound
    for each in bound:
        each.close()
    raise StartFailed(missing or f"server.host {host}: it has no address")


def _bound(
    family: int, kind: int, protocol: int, address: tuple[Any, ...]
) -> socket.socket:
    """With the port to itself, although it does not listen."""
    made = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            # Two sockets that allow reuse are both let in while neither listens.
            made.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Perhaps only connections of an earlier server that have not timed out.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def leave_to_next(bound: list[socket.socket]) -> None:
    """Once they listen: the connections they will leave behind do not keep the next
    server from the port."""
    for each in bound:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def is_loopback(bound: socket.socket) -> bool:
    """Whether nobody but this machine can reach it."""
    return ip_address(bound.getsockname()[0]).is_loopback


def url(bound: socket.socket, *, is_tls: bool = False) -> str:
    """Where a client on this machine reaches it."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
