"""One application for the tests of a file; what they change is made anew for each."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from litestar.testing import TestClient

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.shared.endpoints import Endpoint, Endpoints
from hotswap.tokenizer import Tokenizer
from tests.fake_server import FakeEngine, FakeLibrary, FakeStatus, app_of
from tests.fakes import FakeTokenizer

SIDECAR = Sidecar(
    stop=("#",),
    temperature=0.5,
    top_p=0.9,
    top_k=7,
    max_tokens=5,
    weight=2.0,
    priority=-1,
)


@dataclass
class Shared:
    """A server of `tiny` with the adapters `plain` and `said`; `other` is `said`."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    library: FakeLibrary = field(
        default_factory=lambda: FakeLibrary({"said": SIDECAR}, {"other": "said"})
    )
    endpoints: Endpoints = field(default_factory=lambda: Endpoints(None))

    def reset(self) -> None:
        self.engine.messages.clear()
        self.engine.tokenizer = None
        self.engine.replace = lambda: None
        self.engine.status = FakeStatus()
        self.library.tokenizers.clear()
        self.library.on_disk.clear()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, Shared]]:
    shared = Shared()
    shared.endpoints.put("endpoint", Endpoint(adapter="said"))
    app = app_of(shared.engine, shared.library, endpoints=shared.endpoints)
    with TestClient(app) as client:
        yield client, shared


@pytest.fixture
def client(served: tuple[TestClient, Shared]) -> TestClient:
    client, shared = served
    shared.reset()
    return client


@pytest.fixture
def engine(served: tuple[TestClient, Shared]) -> FakeEngine:
    return served[1].engine


@pytest.fixture
def library(served: tuple[TestClient, Shared]) -> FakeLibrary:
    return served[1].library


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Of each text that is encoded: its length, and whether it was done beside."""
    seen: list[tuple[int, bool]] = []

    def encode(self: Tokenizer, text: str, *, is_whole: bool = False) -> list[int]:
        name = threading.current_thread().name
        seen.append((len(text), name.startswith("encode")))
        return [5]

    monkeypatch.setattr(FakeTokenizer, "encode", encode)
    return seen
