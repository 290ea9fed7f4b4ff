"""What a request and its adapter's sidecar say, as the engine is told it."""

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.adapters.sidecar import Sidecar
from hotswap.api import encoders
from hotswap.api.endpoints import Endpoint, Endpoints
from hotswap.api.serving import Serving
from hotswap.app import routes
from hotswap.engine.letters import Submit
from hotswap.engine.status import Counters
from hotswap.engine.ticket import Accepted, Piece, Ticket
from hotswap.errors import BadRequest, OtherTokenizer
from hotswap.library.hooks import Hooks
from hotswap.tokenizer import Tokenizer
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
class Waiting:
    """Of the engine's status, what routes look at."""

    waiting: int = 0
    queue_s: float = 1.5
    is_stopping: bool = False
    adapters: tuple[Any, ...] = ()
    counters: Counters = field(default_factory=Counters)


@dataclass
class FakeEngine:
    """Takes every letter and answers with one token at once."""

    letters: list[Submit] = field(default_factory=list)
    tokenizer: Tokenizer | None = None  # that it takes prompts of; None is the model's
    replace: Callable[[], None] = lambda: None  # before each answer
    status: Waiting = field(default_factory=Waiting)

    def open_ticket(self) -> Ticket:
        return Ticket(1, lambda job: None)

    def post(self, letter: Submit) -> None:
        self.letters.append(letter)
        self.replace()
        if letter.tokenizer is not self.tokenizer:
            letter.ticket.deliver(OtherTokenizer(letter.adapter))
            return
        letter.ticket.deliver(Accepted("g"))
        piece = Piece(token=2, text="x", logprob=0, mode=Mode.MERGED, finish="stop")
        letter.ticket.deliver(piece)

    is_alive = True

    def start(self) -> None: ...
    def stop(self, limit_s: float) -> None: ...


@dataclass
class FakeLibrary:
    sidecars: dict[str, Sidecar]
    aliases: dict[str, str]
    tokenizers: dict[str, Tokenizer | None] = field(default_factory=dict)
    on_disk: dict[str, Tokenizer] = field(default_factory=dict)
    trouble = ()

    def learn(self, name: str) -> "Future[None]":
        self.tokenizers[name] = self.on_disk[name]
        done: Future[None] = Future()
        done.set_result(None)
        return done

    is_alive = True

    def start(self) -> None: ...
    def stop(self) -> None: ...


def serving_of(engine: Any, library: Any = None, **changes: Any) -> Serving:
    """The parts around a fake engine; the model is called `tiny`."""
    parts: dict[str, Any] = {
        "engine": engine,
        "tokenizer": FakeTokenizer(),
        "base": "tiny",
        "limit": 100,
        "max_waiting": 10,
        "started_at": 0,
        "memory": {},
        "library": library or FakeLibrary({}, {}),
        "endpoints": Endpoints(None),
        "hooks": Hooks(),
    }
    return Serving(**parts | changes)


@dataclass
class Shared:
    """One application for all tests; what each of them changes is made anew."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    library: FakeLibrary = field(default_factory=lambda: FakeLibrary({}, {}))
    endpoints: Endpoints = field(default_factory=lambda: Endpoints(None))


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, Shared]]:
    """A server of `tiny` with the adapters `plain` and `said`; `other` is `said`."""
    shared = Shared()
    shared.endpoints.put("endpoint", Endpoint(adapter="said"))
    serving = serving_of(shared.engine, shared.library, endpoints=shared.endpoints)
    with TestClient(routes(serving, 0)) as client:
        yield client, shared


@pytest.fixture
def engine(served: tuple[TestClient, Shared]) -> FakeEngine:
    found = served[1].engine
    found.__init__()  # type: ignore[misc]
    return found


@pytest.fixture
def library(served: tuple[TestClient, Shared]) -> FakeLibrary:
    found = served[1].library
    found.__init__({"said": SIDECAR}, {"other": "said"})  # type: ignore[misc]
    return found


@pytest.fixture
def client(
    served: tuple[TestClient, Shared], engine: FakeEngine, library: FakeLibrary
) -> TestClient:
    return served[0]


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

    assert letter.params.stop == ("#",)
    assert letter.params.max_tokens == 5
    assert (letter.params.priority, letter.weight) == (-1, 2.0)
    params = letter.params
    assert (params.temperature, params.top_p, params.top_k) == (0.5, 0.9, 7)


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

    assert letter.params.stop == ()
    assert letter.params.max_tokens == 2
    assert (letter.params.priority, letter.params.deadline_s) == (0, 1.5)
    params = letter.params
    assert (params.temperature, params.top_p) == (0.25, 0.5)
    assert (params.top_k, params.seed) == (3, 1)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("adapter", ["plain", ""])
def test_without_a_sidecar_each_route_has_its_own_defaults(
    adapter: str, path: str, client: TestClient, engine: FakeEngine
) -> None:
    letter = told(client, engine, path, adapter)

    limits = {"/v1/completions": 16, "/v1/chat/completions": None, "/invocations": 30}
    assert letter.params.max_tokens == limits[path]
    assert letter.params.temperature == (0 if path == "/invocations" else 1)
    assert (letter.params.top_p, letter.params.top_k) == (1, 0)
    assert (letter.params.stop, letter.params.priority, letter.weight) == ((), 0, 1.0)
    assert letter.params.deadline_s is None


def test_do_sample_of_a_request_decides_over_a_sidecars_temperature(
    client: TestClient, engine: FakeEngine
) -> None:
    greedy = told(client, engine, "/invocations", "said", do_sample=False)
    sampled = told(client, engine, "/invocations", "said", do_sample=True)

    assert greedy.params.temperature == 0
    assert sampled.params.temperature == 0.5


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

    assert (letter.adapter, letter.params.priority) == ("said", -1)


@pytest.mark.parametrize("name", ["base", "tiny", "tiny:base"])
def test_every_name_of_the_bare_model_is_the_bare_model(
    name: str, client: TestClient, engine: FakeEngine
) -> None:
    response = client.post("/v1/completions", json={"model": name, "prompt": "x"})

    assert response.status_code == 200, response.text
    assert engine.letters[-1].adapter == ""
    assert response.headers["x-hotswap-adapter"] == "base"


class Doubling(FakeTokenizer):
    """Two tokens for each character, and as many as it has it knows."""

    def encode(self, text: str, *, is_whole: bool = False) -> list[int]:
        return super().encode(text) * 2

    def check(self, ids: Collection[int], field: str) -> None:
        if 999 in ids:
            raise BadRequest(f"`{field}`: there is no token 999", field)


@pytest.mark.parametrize("path", ROUTES)
def test_a_prompt_is_encoded_in_the_adapters_own_tokenizer(
    path: str, client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    engine.tokenizer = library.tokenizers["plain"] = Doubling()

    letter = told(client, engine, path, "plain")

    assert letter.tokenizer is engine.tokenizer
    assert len(letter.prompt) == 6
    assert len(engine.letters) == 1


@pytest.mark.parametrize("path", ROUTES)
def test_an_adapter_that_nobody_has_read_is_read_before_its_prompt_is_encoded(
    path: str, client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    library.tokenizers["plain"] = None
    engine.tokenizer = library.on_disk["plain"] = Doubling()

    letter = told(client, engine, path, "plain")

    assert (letter.tokenizer, len(letter.prompt)) == (engine.tokenizer, 6)
    assert len(engine.letters) == 1


@pytest.mark.parametrize("path", ROUTES)
def test_a_prompt_is_encoded_again_if_its_adapter_is_replaced_meanwhile(
    path: str, client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    new = Doubling()

    def replace() -> None:
        engine.tokenizer = library.tokenizers["plain"] = new

    engine.replace = replace

    letter = told(client, engine, path, "plain")

    assert [len(each.prompt) for each in engine.letters] == [3, 6]
    assert letter.tokenizer is new


def test_an_adapter_that_is_replaced_all_the_time_is_an_error_in_the_end(
    client: TestClient, engine: FakeEngine
) -> None:
    engine.tokenizer = Doubling()
    body = {"prompt": "abc", "adapter": "plain"}

    response = client.post("/v1/completions", json=body)

    assert response.status_code == 503
    assert "send it again" in response.json()["error"]["message"]
    assert 1 < len(engine.letters) < 20


def test_copies_of_a_prompt_are_encoded_once(
    client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    own = Doubling()
    engine.tokenizer = library.tokenizers["plain"] = own
    seen: list[str] = []
    encode = own.encode
    own.encode = lambda text, **_: [*encode(text), seen.append(text) or 1]  # type: ignore

    told(client, engine, "/v1/completions", "plain", n=5)

    assert (len(engine.letters), seen) == (5, ["abc"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"prompt": [1, 999]}, "prompt"), ({"stop_token_ids": [999]}, "stop_token_ids")],
)
def test_tokens_that_the_adapters_tokenizer_lacks_are_refused_by_field(
    fields: dict[str, Any],
    field: str,
    client: TestClient,
    engine: FakeEngine,
    library: FakeLibrary,
) -> None:
    engine.tokenizer = library.tokenizers["plain"] = Doubling()

    refused = client.post(
        "/v1/completions", json={"prompt": "a", "adapter": "plain", **fields}
    )

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
    assert not engine.letters
    engine.tokenizer = None
    told(client, engine, "/v1/completions", "", **fields)


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


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No prompt may be encoded."""

    def encode(self: Tokenizer, text: str, *, is_whole: bool = False) -> list[int]:
        raise AssertionError("it was encoded")

    monkeypatch.setattr(FakeTokenizer, "encode", encode)


MANY: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"prompt": ["a"] * 11}, "prompt"),
    ("/v1/completions", {"prompt": [[5]] * 4, "n": 3}, "prompt"),
    ("/v1/completions", {"prompt": "a", "n": 11}, "prompt"),
    ("/v1/completions", {"prompt": [[5]] * 5000, "n": 64}, "prompt"),
    ("/v1/chat/completions", {**ROUTES["/v1/chat/completions"], "n": 11}, "n"),
    ("/invocations", {"inputs": ["a"] * 11}, "inputs"),
    ("/predictions/endpoint", {"inputs": ["a"] * 5000}, "inputs"),
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("path", "body", "field"), MANY)
def test_more_jobs_than_may_ever_wait_are_refused_by_field_before_any_is_made(
    path: str,
    body: dict[str, Any],
    field: str,
    client: TestClient,
    engine: FakeEngine,
) -> None:
    response = client.post(path, json=body)

    assert response.status_code == 400, response.text
    assert f"`{field}` asks for" in response.text
    assert "at most 10 may wait" in response.text
    assert not engine.letters


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("path", ROUTES)
def test_a_full_queue_refuses_before_a_prompt_is_encoded(
    path: str, client: TestClient, engine: FakeEngine
) -> None:
    engine.status.waiting = 10

    response = client.post(path, json=ROUTES[path])

    assert response.status_code == (503 if path == "/invocations" else 429)
    assert not engine.letters


def test_jobs_of_one_request_need_room_for_all_of_them(
    client: TestClient, engine: FakeEngine
) -> None:
    engine.status.waiting = 7

    full = client.post("/v1/completions", json={"prompt": ["a", "b"], "n": 2})
    fits = client.post("/v1/completions", json={"prompt": ["a", "b", "c"]})

    assert (full.status_code, fits.status_code) == (429, 200)
    assert len(engine.letters) == 3


LONG: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/completions", {"prompt": "a" * 801}, "801 characters"),
    ("/v1/completions", {"prompt": ["a", "a" * 801]}, "801 characters"),
    ("/v1/completions", {"prompt": [5] * 101}, "101 tokens"),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "a" * 801}]},
        "801 characters",
    ),
    ("/invocations", {"inputs": "a" * 801}, "801 characters"),
]


@pytest.mark.parametrize("adapter", ["", "said", "own"])
@pytest.mark.parametrize(("path", "body", "said"), LONG)
def test_what_no_tokens_can_hold_is_refused_before_it_is_encoded(
    *,
    path: str,
    body: dict[str, Any],
    said: str,
    adapter: str,
    client: TestClient,
    engine: FakeEngine,
    library: FakeLibrary,
    encoded: list[tuple[int, bool]],
) -> None:
    library.tokenizers["own"] = FakeTokenizer()

    response = client.post(path, json={**body, "adapter": adapter})

    assert response.status_code == 400, response.text
    assert said in response.text
    assert not [size for size, _ in encoded if size > 800]
    assert not engine.letters


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("adapter", "size", "is_beside"),
    [("", 10, False), ("", 5_000, True), ("", 70_000, True), ("own", 10, True)],
)
def test_what_is_long_or_a_strangers_is_encoded_beside_the_event_loop(
    *,
    path: str,
    adapter: str,
    size: int,
    is_beside: bool,
    client: TestClient,
    engine: FakeEngine,
    library: FakeLibrary,
    encoded: list[tuple[int, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeTokenizer, "longest", 1 << 20)
    if adapter:
        engine.tokenizer = library.tokenizers[adapter] = FakeTokenizer()
    fields: dict[str, dict[str, Any]] = {
        "/v1/completions": {"prompt": "a" * size},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "a" * size}]},
        "/invocations": {"inputs": "a" * size},
    }

    response = client.post(path, json={**fields[path], "adapter": adapter})

    assert response.status_code == 200, response.text
    assert encoded == [(size, is_beside)]


def test_many_short_prompts_are_as_long_as_they_are_together(
    client: TestClient, encoded: list[tuple[int, bool]]
) -> None:
    client.post("/v1/completions", json={"prompt": ["a" * 700] * 8})

    assert [beside for _, beside in encoded] == [False] * 5 + [True] * 3


def test_copies_of_a_long_prompt_are_one_to_encode(
    client: TestClient,
    engine: FakeEngine,
    encoded: list[tuple[int, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeTokenizer, "longest", 1 << 20)
    size = encoders._MOST_SIZE // 8

    response = client.post("/v1/completions", json={"prompt": "a" * size, "n": 10})

    assert response.status_code == 200, response.text
    assert encoded == [(size, True)]
    assert len(engine.letters) == 10


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": [[]] * 70_000}),
        ("/invocations", {"inputs": "a", "adapters": ["x"] * 1_000_000}),
        ("/v1/adapters/validate", {"src": ["x"] * 70_000}),
        ("/v1/completions", {"prompt": "a", "metadata": {"a": [0] * 70_000}}),
    ],
)
def test_a_body_of_very_many_values_is_refused_unread(
    path: str, body: dict[str, Any], client: TestClient
) -> None:
    response = client.post(path, json=body)

    assert response.status_code == 400
    assert "values" in response.text


def test_token_ids_to_stop_at_are_bounded(client: TestClient) -> None:
    body = {"prompt": "a", "stop_token_ids": [5] * 1001}

    response = client.post("/v1/completions", json=body)

    assert (response.status_code, response.json()["error"]["param"]) == (
        400,
        "stop_token_ids",
    )
