"""SageMaker's own client, boto3, at the routes around an engine that says what it is
told to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from hotswap.api.shared.endpoints import Endpoint, Endpoints
from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Finish, Piece
from hotswap.errors import HotswapError
from scheduler import Mode
from tests.fake_server import FakeEngine, FakeLibrary, app_of
from tests.servers import Live


def piece(text: str, *, is_last: bool = False) -> Piece:
    finish: Finish | None = "eos" if is_last else None
    return Piece(token=2, text=text, mode=Mode.MERGED, finish=finish)


@dataclass
class ToldEngine(FakeEngine):
    """Delivers `says` to each request; what comes first may be an error."""

    says: Sequence[Piece | HotswapError] = ()

    def post(self, message: Submit) -> None:
        self.messages.append(message)
        if not isinstance(self.says[0], HotswapError):
            message.ticket.deliver(Accepted("g"))
        for event in self.says:
            message.ticket.deliver(event)

    def reset(self) -> None:
        self.messages.clear()
        self.says = [piece("a"), piece("b"), piece("", is_last=True)]


@dataclass
class Served:
    """A server of `tiny`; the endpoint `harbour` stands for the adapter `x`."""

    live: Live
    engine: ToldEngine

    @property
    def adapter(self) -> str:
        """That answered last."""
        return self.engine.messages[-1].adapter


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    engine = ToldEngine()
    endpoints = Endpoints(None)
    endpoints.put("harbour", Endpoint(adapter="x"))
    with Live(app_of(engine, FakeLibrary(), endpoints=endpoints)) as live:
        yield Served(live, engine)


@pytest.fixture
def served(shared: Served) -> Served:
    shared.engine.reset()
    return shared


@pytest.fixture(scope="module")
def client(shared: Served) -> Any:
    return runtime(shared.live.url)


def runtime(url: str) -> Any:
    """boto3's `sagemaker-runtime`, which asks once: an error is not asked again."""
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=boto3.session.Config(retries={"max_attempts": 0}),
    )
