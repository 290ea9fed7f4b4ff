"""A server with one adapter in its directory; the others are on a shelf inside it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hotswap import app
from hotswap.adapters.file_names import WEIGHTS_FILE
from tests import tiny
from tests.live.vllm.routes import UNLOAD, rows
from tests.servers import Live, settings, wait_until


@pytest.fixture(scope="package")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Watched; `one` is there. Below `.shelf`, which is not: `x`, `y`, `cut`."""
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate("xy"):
        tiny.save_adapter(root / ".shelf" / name, "llama", seed, strength=1.5, r=2)
    shutil.copytree(root / ".shelf" / "x", root / "one")
    shutil.copytree(root / ".shelf" / "x", root / ".shelf" / "cut")
    os.truncate(root / ".shelf" / "cut" / WEIGHTS_FILE, 100)
    return root


@pytest.fixture(scope="package")
def client(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    with (
        Live(app.build(settings(model_folder, directory))) as server,
        server.client() as client,
    ):
        wait_until(lambda: "one" in rows(client))
        yield client


@pytest.fixture(autouse=True)
def unload_afterwards(client: httpx.Client) -> Iterator[None]:
    yield
    for name in rows(client):
        if name != "one":
            assert client.post(UNLOAD, json={"lora_name": name}).status_code == 200
