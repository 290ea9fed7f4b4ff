"""Each request that generates is one record when it is over, whatever its end."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap import config
from hotswap.echo import app as echo
from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Piece
from hotswap.errors import Overloaded, StepFailed
from hotswap.log_options import LogConfig
from hotswap.logs.answer_line import AnswerLine
from hotswap.logs.observers import observers
from scheduler import Mode
from tests.fake_server import BODIES, FakeEngine, app_of

LOGGER = "hotswap.answers"


@dataclass
class FailingEngine(FakeEngine):
    """Fails each job after one piece."""

    def post(self, message: Submit) -> None:
        message.ticket.deliver(Accepted("g"))
        message.ticket.deliver(Piece(token=2, text="x", mode=Mode.MIXED))
        message.ticket.deliver(StepFailed("the logits are not finite"))


@dataclass
class FullEngine(FakeEngine):
    def post(self, message: Submit) -> None:
        message.ticket.deliver(Overloaded("the queue is full", 1.0))


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, LOGGER):
        yield


@pytest.fixture(scope="module")
def served() -> Iterator[TestClient]:
    """A whole server, whose engine measures."""
    told = {"model": {"path": "echo"}}
    with TestClient(echo.build(config.load(None, told))) as client:
        yield client


def client_of(engine: FakeEngine, *, tells_texts: bool = False) -> TestClient:
    """Enter it."""
    line = AnswerLine(logging.INFO, tells_texts=tells_texts)
    return TestClient(app_of(engine, observers=[line]))


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [
        (each.getMessage(), each.__dict__["fields"])
        for each in caplog.records
        if each.name == LOGGER
    ]


def test_an_answer_tells_who_what_and_how_long(
    served: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"prompt": "abcdef", "max_tokens": 4}
    served.post("/v1/completions", json=body)

    ((end, told),) = lines(caplog)

    assert end == "finished"
    counts = ("prompt_tokens", "cached_tokens", "generated_tokens", "swaps")
    assert [told[name] for name in counts] == [6, 0, 4, 0]
    assert (told["code"], told["route"]) == (200, "/v1/completions")
    assert (told["adapter"], told["generation"]) == ("base", "base")
    assert set(told["mode"].split("+")) <= {"merged", "mixed"}
    assert told["finish"] == "length"
    assert 0 <= told["queue_s"] <= told["first_token_s"] <= told["seconds"] < 60
    assert not {"key", "error", "prompts", "texts"} & told.keys()


def test_a_stream_is_over_with_its_last_piece(
    served: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"prompt": "abc", "max_tokens": 2, "n": 2, "stream": True}
    served.post("/v1/completions", json=body)

    ((end, told),) = lines(caplog)

    assert (end, told["code"], told["generated_tokens"]) == ("finished", 200, 4)
    assert told["prompt_tokens"] == 3


@pytest.mark.parametrize("path", BODIES)
def test_every_family_has_a_line(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with client_of(FakeEngine()) as client:
        client.post(path, json=BODIES[path])
        client.post(path, json={"no": "such field"})

    (first, told), (second, refusal) = lines(caplog)
    assert (first, told["route"], told["finish"]) == ("finished", path, "stop")
    wrong = (424, "InputRefused") if path == "/invocations" else (400, "BadRequest")
    assert (second, refusal["code"]) == ("refused", wrong[0])
    assert refusal["error"].startswith(f"{wrong[1]}: ")


def test_a_request_that_the_engine_does_not_take_is_refused(
    served: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    served.post("/v1/completions", json={"prompt": "a", "adapter": "no\nsuch"})
    with client_of(FullEngine()) as client:
        client.post("/v1/completions", json={"prompt": "a"})

    (unknown, first), (full, second) = lines(caplog)
    assert (unknown, first["code"], first["adapter"]) == ("refused", 404, "no\nsuch")
    assert (full, second["code"]) == ("refused", 429)
    assert "generated_tokens" not in second


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [*BODIES, "/"])
def test_an_answer_that_fails_tells_how_far_it_came_and_why(
    path: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with client_of(FailingEngine()) as client:
        body = {**BODIES.get(path, {"inputs": "abc"}), "stream": stream}
        answer = client.post(path, json=body)

    ((end, told),) = lines(caplog)
    assert (end, told["code"]) == ("failed", 200 if stream else 500)
    assert answer.status_code == told["code"]
    assert told["error"] == "StepFailed: the logits are not finite"
    assert (told["generated_tokens"], told["mode"]) == (1, "mixed")
    assert "finish" not in told


def test_what_does_not_generate_has_no_line(
    served: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/health", "/v1/models", "/nowhere", "/v1/completions"):
        served.get(path)
    served.post("/tokenize", json={"inputs": "a"})

    assert not lines(caplog)


def test_texts_are_told_only_where_somebody_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: dict[str, dict[str, Any]]
    told = {"model": {"path": "echo"}, "log": {"prompts": True}}
    with TestClient(echo.build(config.load(None, told))) as client:
        client.post("/v1/completions", json={"prompt": ["secret", "x" * 20_000]})

    ((_, found),) = lines(caplog)
    assert found["prompts"][0] == "secret"
    assert found["texts"][0] == "secret"
    assert found["prompts"][1].endswith("(20000 characters)")
    assert len(found["prompts"][1]) < 9_000


@pytest.mark.parametrize(
    ("level", "found"), [("off", []), ("debug", [10]), ("info", [20])]
)
def test_its_level_is_chosen(
    level: Any, found: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    told = observers(LogConfig(answers=level, traces=False), {})
    with (
        caplog.at_level(logging.DEBUG, LOGGER),
        TestClient(app_of(FakeEngine(), observers=told)) as client,
    ):
        client.post("/v1/completions", json={"prompt": "a"})

    assert [each.levelno for each in caplog.records if each.name == LOGGER] == found
