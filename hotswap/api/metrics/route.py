"""GET /metrics, on a thread: it takes milliseconds if there are many adapters."""

from collections.abc import Iterator

from litestar import Request, Response, get

from hotswap.api.metrics import adapter_families, router_families, server_families
from hotswap.api.metrics.exposition import (
    OPENMETRICS,
    TEXT,
    Family,
    openmetrics,
    prefers_openmetrics,
    text,
)
from hotswap.api.shared.server_state import Injected, ServerState

_VARY = {"vary": "accept"}


@get("/metrics", media_type=TEXT, sync_to_thread=True)
def metrics(request: Request, server: Injected) -> Response[bytes]:
    """Prometheus' text format, or OpenMetrics for whoever accepts it."""
    if prefers_openmetrics(request.headers.get("accept", "")):
        written, kind = openmetrics(families(server)), OPENMETRICS
    else:
        written, kind = text(families(server)), TEXT
    return Response(written, media_type=kind, headers=_VARY)


def families(server: ServerState) -> Iterator[Family]:
    """All metrics, as of now. From any thread."""
    now = server.engine.status  # one moment, for all that is read of it
    waited = adapter_families.waits(server.engine.latencies)
    yield from server_families.families(server, now)
    yield from adapter_families.families(now, waited)
    yield from router_families.families(server, now, waited)


ROUTES = [metrics]
