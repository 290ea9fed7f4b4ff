"""How long others wait for a server in this process while it works on something."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from hotswap import app
from tests.servers import NO_TLS, Live, settings

LAG_S = 0.25


@contextmanager
def lasting(model: Path, directory: Path) -> Iterator[Live]:
    """A server that collects no garbage of before it began, as the real command."""
    application = app.build(settings(model, directory))
    gc.collect()
    gc.freeze()
    with Live(application) as live:
        yield live
    gc.unfreeze()


def lag_while(server: Live, work: Callable[[], None]) -> float:
    """The longest that `/health/live` took, in seconds, while `work` was done."""
    worst = 0.0
    thread = threading.Thread(target=work)
    with httpx.Client(base_url=server.url, verify=NO_TLS, timeout=120) as client:
        client.get("/health/live")
        thread.start()
        while True:
            is_last = not thread.is_alive()
            start = time.monotonic()
            assert client.get("/health/live").status_code == 200
            worst = max(worst, time.monotonic() - start)
            if is_last:
                return worst
