"""The routes around a fake engine and a fake library: what reaches the engine is kept.

The model is called `tiny`; every character of a prompt is one token.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.application import application
from hotswap.api.cross_origin import PLAIN, CrossOrigin
from hotswap.api.request_bodies import BodyLimits
from hotswap.api.shared.endpoints import Endpoints
from hotswap.api.shared.request_record import Observer
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter
from hotswap.engine.messages import Submit
from hotswap.engine.status import Counters
from hotswap.engine.ticket import Accepted, Piece, Ticket
from hotswap.errors import OtherTokenizer
from hotswap.library.hooks import Hooks
from hotswap.tokenizer import Tokenizer
from scheduler import Mode
from tests.fakes import FakeTokenizer

LIMIT = 100  # tokens of a prompt and its answer
MAX_WAITING = 10
ROOMY = BodyLimits(body_bytes=10**7, all_bodies_bytes=10**8, body_s=60)


@dataclass
class FakeStatus:
    """Of the engine's status, what routes look at."""

    waiting: int = 0
    queue_s: float = 1.5
    is_stopping: bool = False
    adapters: tuple[Any, ...] = ()
    counters: Counters = field(default_factory=Counters)

    def adapter(self, name: str) -> Any:
        return next((row for row in self.adapters if row.name == name), None)


@dataclass
class FakeEngine:
    """Takes every message and answers with one token at once."""

    messages: list[Submit] = field(default_factory=list)
    tokenizer: Tokenizer | None = None  # that it takes prompts of; None is the model's
    replace: Callable[[], None] = lambda: None  # before each answer
    status: FakeStatus = field(default_factory=FakeStatus)
    is_alive: bool = True
    limit: int = LIMIT

    def open_ticket(self) -> Ticket:
        return Ticket(1, lambda job: None, 0.0)

    def post(self, message: Submit) -> None:
        self.messages.append(message)
        self.replace()
        if message.tokenizer is not self.tokenizer:
            message.ticket.deliver(OtherTokenizer(message.adapter))
            return
        message.ticket.deliver(Accepted("g"))
        piece = Piece(token=2, text="x", mode=Mode.MERGED, finish="stop")
        message.ticket.deliver(piece)

    def start(self) -> None: ...
    def stop(self, limit_s: float) -> None: ...


@dataclass
class FakeLibrary:
    sidecars: dict[str, Sidecar] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    tokenizers: dict[str, Tokenizer | None] = field(default_factory=dict)
    on_disk: dict[str, Tokenizer] = field(default_factory=dict)
    is_alive: bool = True
    trouble: tuple[str, ...] = ()

    def learn(self, name: str) -> "Future[None]":
        self.tokenizers[name] = self.on_disk[name]
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def start(self) -> None: ...
    def stop(self) -> None: ...


def state_of(engine: Any, library: Any = None, **changes: Any) -> ServerState:
    parts: dict[str, Any] = {
        "engine": engine,
        "base": "tiny",
        "started_at": 0,
        "memory": {},
        "library": library or FakeLibrary(),
        "endpoints": Endpoints(None),
        "hooks": Hooks(),
    }
    return ServerState(**parts | changes)


def app_of(
    engine: Any,
    library: Any = None,
    *,
    pages: CrossOrigin = PLAIN,
    tokenizer: Tokenizer | None = None,
    observers: Sequence[Observer] = (),
    **changes: Any,
) -> Litestar:
    """`tokenizer`: the model's. `changes`: fields of the server's state."""
    state = state_of(engine, library, **changes)
    submitter = Submitter(
        state.engine,
        state.library,
        tokenizer or FakeTokenizer(),
        state.hooks,
        eos=frozenset(),
        max_waiting=MAX_WAITING,
        most_jobs=MAX_WAITING,
    )
    return application(state, submitter, 0, ROOMY, pages=pages, observers=observers)


# The least that each family's routes take.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "abc"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "abc"}]},
    "/v1/responses": {"input": "abc"},
    "/invocations": {"inputs": "abc"},
}


def message_of(
    client: TestClient, engine: FakeEngine, path: str, adapter: str, **fields: Any
) -> Submit:
    """The message of one request, whose `fields` stand where its family has them."""
    body = {**BODIES.get(path, BODIES["/invocations"])}
    if path == "/v1/responses":
        limit = fields.pop("max_tokens", None)
        body |= {**fields, "max_output_tokens": limit}
    elif path.startswith("/v1"):
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
    return engine.messages[-1]
