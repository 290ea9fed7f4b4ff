"""What a request and its adapter's sidecar say, as the engine is told it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.endpoints import Endpoint, Endpoints
from hotswap.api.serving import Serving
from hotswap.app import routes
from hotswap.engine.letters import Submit
from hotswap.engine.ticket import Accepted, Piece, Ticket
from hotswap.library.hooks import Hooks
from scheduler import Mode
from tests.fakes import FakeTokenizer

ROUTES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "abc"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "abc"}]},
    "/invocations": {"inputs": "abc"},
}
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
class FakeEngine:
    """Takes every letter and answers with one token at once."""

    letters: list[Submit] = field(default_factory=list)

    def open_ticket(self) -> Ticket:
        return Ticket(1, lambda job: None)

    def post(self, letter: Submit) -> None:
        self.letters.append(letter)
        letter.ticket.deliver(Accepted("g"))
        piece = Piece(token=2, text="x", logprob=0, mode=Mode.MERGED, finish="stop")
        letter.ticket.deliver(piece)

    def start(self) -> None: ...
    def stop(self, limit_s: float) -> None: ...


@dataclass
class FakeLibrary:
    sidecars: dict[str, Sidecar]
    aliases: dict[str, str]

    def start(self) -> None: ...
    def stop(self) -> None: ...


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[TestClient]:
    """A server of `tiny` with the adapters `plain` and `said`; `other` is `said`."""
    endpoints = Endpoints(None)
    endpoints.put("endpoint", Endpoint(adapter="said"))
    serving = Serving(
        engine=engine,
        tokenizer=FakeTokenizer(),
        base="tiny",
        limit=100,
        started_at=0,
        memory={},
        library=FakeLibrary({"said": SIDECAR}, {"other": "said"}),
        endpoints=endpoints,
        hooks=Hooks(),
    )
    with TestClient(routes(serving, None, 0)) as client:
        yield client


def told(
    client: TestClient, engine: FakeEngine, path: str, adapter: str, **fields: Any
) -> Submit:
    """The letter of one request."""
    body = {**ROUTES.get(path, ROUTES["/invocations"])}
    if path.startswith("/v1"):
        body |= fields
    else:
        limit = {"max_new_tokens": fields.pop("max_tokens", None)}
        body["parameters"] = {
            k: v for k, v in (fields | limit).items() if v is not None
        }
    if adapter:
        body["adapter"] = adapter
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return engine.letters[-1]


@pytest.mark.parametrize("path", ROUTES)
def test_a_sidecar_speaks_where_the_request_is_silent(
    path: str, client: TestClient, engine: FakeEngine
) -> None:
    letter = told(client, engine, path, "said")

    assert letter.stop == ("#",)
    assert letter.max_tokens == 5
    assert (letter.priority, letter.weight) == (-1, 2.0)
    sampling = letter.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 7)


@pytest.mark.parametrize("path", ROUTES)
def test_what_the_request_says_wins_over_the_sidecar(
    path: str, client: TestClient, engine: FakeEngine
) -> None:
    letter = told(
        client,
        engine,
        path,
        "said",
        stop=[],
        max_tokens=2,
        temperature=0.25,
        top_p=0.5,
        top_k=3,
        seed=1,
        priority=0,
        deadline_s=1.5,
    )

    assert letter.stop == ()
    assert letter.max_tokens == 2
    assert (letter.priority, letter.deadline_s) == (0, 1.5)
    sampling = letter.sampling
    assert (sampling.temperature, sampling.top_p) == (0.25, 0.5)
    assert (sampling.top_k, sampling.seed) == (3, 1)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("adapter", ["plain", ""])
def test_without_a_sidecar_each_route_has_its_own_defaults(
    adapter: str, path: str, client: TestClient, engine: FakeEngine
) -> None:
    letter = told(client, engine, path, adapter)

    limits = {"/v1/completions": 16, "/v1/chat/completions": 97, "/invocations": 30}
    assert letter.max_tokens == limits[path]
    assert letter.sampling.temperature == (0 if path == "/invocations" else 1)
    assert (letter.sampling.top_p, letter.sampling.top_k) == (1, 0)
    assert (letter.stop, letter.priority, letter.weight) == ((), 0, 1.0)
    assert letter.deadline_s is None


def test_do_sample_of_a_request_decides_over_a_sidecars_temperature(
    client: TestClient, engine: FakeEngine
) -> None:
    greedy = told(client, engine, "/invocations", "said", do_sample=False)
    sampled = told(client, engine, "/invocations", "said", do_sample=True)

    assert greedy.sampling.temperature == 0
    assert sampled.sampling.temperature == 0.5


@pytest.mark.parametrize(
    ("path", "adapter"),
    [
        ("/invocations", "other"),
        ("/v1/completions", "other"),
        ("/predictions/endpoint", ""),
    ],
)
def test_aliases_and_endpoints_stand_for_the_adapter_with_its_sidecar(
    path: str, adapter: str, client: TestClient, engine: FakeEngine
) -> None:
    letter = told(client, engine, path, adapter)

    assert (letter.adapter, letter.priority) == ("said", -1)


@pytest.mark.parametrize("name", ["base", "tiny", "tiny:base"])
def test_every_name_of_the_bare_model_is_the_bare_model(
    name: str, client: TestClient, engine: FakeEngine
) -> None:
    response = client.post("/v1/completions", json={"model": name, "prompt": "x"})

    assert response.status_code == 200, response.text
    assert engine.letters[-1].adapter == ""
    assert response.headers["x-hotswap-adapter"] == "base"
