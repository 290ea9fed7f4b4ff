"""An engine that scores what it says."""

from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Piece
from hotswap.model.network.rows import Scored
from scheduler import Mode
from tests.fake_server import FakeEngine


class Scorer(FakeEngine):
    """Answers `ab`, then ends; of two copies of a prompt the second is likelier."""

    def post(self, message: Submit) -> None:
        self.messages.append(message)
        message.ticket.deliver(Accepted("g"))
        likely = -2.0 / len(self.messages)
        for token, text, finish in ((2, "a", None), (3, "b", None), (0, "", "eos")):
            scored = Scored(token, likely, 1, ((token, likely), (4, likely - 1)))
            scores = [Scored(1, -0.5), Scored(1, -0.25)][: len(message.prompt) - 1]
            message.ticket.deliver(
                Piece(
                    token=token,
                    text=text,
                    mode=Mode.MERGED,
                    scored=scored,
                    prompt=tuple(scores) if token == 2 else (),
                    finish=finish,  # type: ignore[arg-type]
                )
            )


@pytest.fixture
def scorer(client: TestClient, engine: FakeEngine) -> FakeEngine:
    """The engine of `client`, which scores what it says."""
    engine.__class__ = Scorer
    return engine


@pytest.fixture(autouse=True)
def plain_engine(engine: FakeEngine) -> Any:
    yield
    engine.__class__ = FakeEngine
