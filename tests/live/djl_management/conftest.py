"""A server whose hooks veto: one adapter in its directory, others on a shelf."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hotswap import app
from tests import tiny
from tests.live.djl_management.routes import names
from tests.servers import Live, settings, wait_until

HOOKS = """
def register_adapter(name, src, alias, options):
    if options.get("fail") == "error":
        raise ValueError("not this one")
    if options.get("fail") == "oom":
        raise MemoryError("no slot is free")

update_adapter = register_adapter
"""


@pytest.fixture(scope="package")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root outside the watched directory: adapters `x` and `y`, and a broken one."""
    root = tmp_path_factory.mktemp("shelf")
    for seed, name in enumerate("xy"):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5, r=2)
    shutil.copytree(root / "x", root / "broken")
    (root / "broken" / "adapter_config.json").write_text("{")
    return root


@pytest.fixture(scope="package")
def client(
    model_folder: Path, shelf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    work = tmp_path_factory.mktemp("work")
    shutil.copytree(shelf / "x", work / "adapters" / "built-in")
    (work / "own.py").write_text(HOOKS)
    configured = settings(
        model_folder,
        work / "adapters",
        adapters={"roots": (str(shelf),)},
        hooks={"module": str(work / "own.py")},
    )
    with (
        Live(app.build(configured)) as server,
        server.client() as client,
    ):
        wait_until(lambda: names(client) == ["built-in"])
        yield client


@pytest.fixture(autouse=True)
def unregister_afterwards(client: httpx.Client) -> Iterator[None]:
    yield
    for name in names(client):
        if name != "built-in":
            assert client.delete(f"/adapters/{name}").status_code == 200
