"""Served: the echo server with adapters' folders, for the page to look at."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.echo import app
from tests.servers import Live, wait_until


def save_adapter(folder: Path, weights: bytes | None = b"weights") -> Path:
    """As much of one as the echo server looks at; None: without its weights."""
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(json.dumps({"peft_type": "LORA"}))
    if weights is not None:
        (folder / WEIGHTS_FILE).write_bytes(weights + folder.name.encode())
    return folder


@contextmanager
def serving(
    directory: Path, *, adapters: int, port: int | None = None, **sections: Any
) -> Iterator[Live]:
    """A server that knows so many `adapters`."""
    told = {
        "model": {"path": "echo"},
        "adapters": {
            "directory": str(directory),
            "quiet_s": 0.05,
            **sections.pop("adapter_settings", {}),
        },
        **sections,
    }
    built = app.build(config.load(None, told))
    with Live(built, port=port) as server:
        with server.client() as client:
            rows = "/v1/adapters"
            wait_until(lambda: _known(client.get(rows).json()["data"]) == adapters)
        try:
            yield server
        finally:
            built.state.drain()  # as a signal does: streams end


def _known(rows: list[dict[str, Any]]) -> int:
    return sum(row["state"] != "loading" for row in rows)
