"""Handlers in DJL's form, served: a file, and the echo server around it."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.echo import app
from tests.servers import Live, wait_until


def put_adapter(directory: Path, name: str) -> Path:
    """As far as it is looked at without a model."""
    folder = directory / name
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    (folder / WEIGHTS_FILE).write_bytes(name.encode())
    return folder


@contextmanager
def handled(
    work: Path,
    source: str,
    adapters: Sequence[str] = ("pirate",),
    **sections: dict[str, Any],
) -> Iterator[httpx.Client]:
    """The echo server with `source` as its model.py, and these in its directory."""
    work.mkdir(exist_ok=True)
    shutil.rmtree(work / "adapters", ignore_errors=True)
    for name in adapters:
        put_adapter(work / "adapters", name)
    (work / "model.py").write_text(source)
    told: dict[str, Any] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(work / "adapters"), "quiet_s": 0.05},
        "hooks": {"handler": str(work / "model.py"), **sections.pop("hooks", {})},
        **sections,
    }
    built = app.build(config.load(None, told))
    with Live(built) as live, live.client() as client:
        wait_until(lambda: served(client) >= set(adapters))
        yield client


def served(client: httpx.Client) -> set[str]:
    rows = client.get("/adapters").json()["adapters"]
    return {row["name"] for row in rows}


def do(client: httpx.Client, what: str, query: str = "", **said: Any) -> httpx.Response:
    """Ask a handler whose bodies say what it is to `do`."""
    return client.post(f"/invocations{query}", json={"do": what, **said})
