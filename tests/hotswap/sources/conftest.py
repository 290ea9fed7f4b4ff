"""A local hub, a local S3, and a fetcher that knows them."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pytest

from hotswap.sources import download as download_module
from hotswap.sources.content_cache import ContentCache
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.hub_repository import HubRepository
from hotswap.sources.remote import Remote, remote_for
from tests.faulty_http import Faulty
from tests.hotswap.sources.hub_adapter import FILES
from tests.local_hub import LocalHub
from tests.local_s3 import LocalS3, local_s3

PATIENCE_S = 0.5


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries."""
    monkeypatch.setattr(download_module, "PAUSE_S", 0.001)


@pytest.fixture
def hub() -> LocalHub:
    return LocalHub()


@pytest.fixture
def hub_server(hub: LocalHub) -> Iterator[Faulty]:
    with Faulty(hub.answer).running() as server:
        yield server


@pytest.fixture(scope="module")
def shared_s3() -> Iterator[LocalS3]:
    with local_s3() as server:
        _s3_remote.cache_clear()
        yield server


@pytest.fixture
def s3(shared_s3: LocalS3) -> Iterator[LocalS3]:
    """With nothing in its bucket, and without faults."""
    shared_s3.faults = type(shared_s3.faults)()
    for row in shared_s3.client.list_objects_v2(Bucket="bucket").get("Contents", []):
        shared_s3.client.delete_object(Bucket="bucket", Key=row["Key"])
    shared_s3.asked.clear()
    shared_s3.sent.clear()
    yield shared_s3
    shared_s3.gate.set()
    shared_s3.gate.clear()


@cache
def _s3_remote() -> Remote:
    """One for all: it takes a second to make."""
    return remote_for("s3", (), PATIENCE_S)


def _remote(endpoint: str, scheme: str) -> Remote:
    return HubRepository(PATIENCE_S, endpoint) if scheme == "hf" else _s3_remote()


@pytest.fixture
def fetcher_on(
    tmp_path: Path,
) -> Callable[..., Fetcher]:
    """A fetcher on a cache of so many bytes; `most_bytes`: of one folder."""

    def make(
        cache_bytes: int = 1 << 20, most_bytes: int = 1 << 20, endpoint: str = ""
    ) -> Fetcher:
        return Fetcher(
            ContentCache(tmp_path / "cache", cache_bytes),
            most_bytes=most_bytes,
            key="adapters.source_max_gb",
            patience_s=PATIENCE_S,
            make_remote=partial(_remote, endpoint),
        )

    return make


@pytest.fixture
def fetcher(
    hub: LocalHub, hub_server: Faulty, fetcher_on: Callable[..., Fetcher]
) -> Fetcher:
    hub.put("org/name", FILES)
    return fetcher_on(endpoint=hub_server.url)
