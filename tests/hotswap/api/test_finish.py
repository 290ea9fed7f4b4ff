"""What ended an answer: told by the engine, in OpenAI's and in DJL's words."""

from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Finish, Piece
from scheduler import Mode
from tests.engines import running, submit
from tests.fake_server import FakeEngine, app_of
from tests.fakes import FakeExecutor

DIGIT_SEVEN = 2 + 26 + 7


@pytest.mark.parametrize(
    ("message", "finish"),
    [
        ({}, "eos"),
        ({"stop_tokens": frozenset({0})}, "stop"),
        ({"ignore_eos": True}, "length"),
        ({"tokens": 2}, "length"),
        ({"stop": ("5a",)}, "stop"),
        ({"stop": ("nowhere",)}, "eos"),
        ({"stop_tokens": frozenset({DIGIT_SEVEN - 2})}, "stop"),
    ],
    ids=str,
)
async def test_the_models_own_end_is_told_from_a_stop_of_the_request(
    message: dict[str, Any], finish: str
) -> None:
    async with running(FakeExecutor(finish_after=7)) as engine:
        ticket = submit(engine, "a", **message)
        await ticket.accepted()
        pieces = [piece async for piece in ticket.pieces()]

    assert pieces[-1].finish == finish
    assert not any(piece.finish for piece in pieces[:-1])


class EndingEngine(FakeEngine):
    """Ends every answer in the same way."""

    finish: Finish = "eos"

    def post(self, message: Submit) -> None:
        message.ticket.deliver(Accepted("g"))
        piece = Piece(token=2, text="x", mode=Mode.MERGED)
        message.ticket.deliver(piece)
        piece = Piece(token=2, text="y", mode=Mode.MERGED, finish=self.finish)
        message.ticket.deliver(piece)


@pytest.mark.parametrize(
    ("finish", "openai", "djl"),
    [
        ("eos", "stop", "eos_token"),
        ("stop", "stop", "stop_sequence"),
        ("length", "length", "length"),
    ],
)
def test_openai_and_djl_say_in_their_own_words_what_ended_an_answer(
    finish: Finish, openai: str, djl: str
) -> None:
    engine = EndingEngine()
    engine.finish = finish
    chat = {"messages": [{"role": "user", "content": "a"}]}
    invocation = {"inputs": "a", "parameters": {"details": True}}
    with TestClient(app_of(engine)) as client:
        for path, body in (
            ("completions", {"prompt": "a"}),
            ("chat/completions", chat),
        ):
            whole = client.post(f"/v1/{path}", json=body).json()
            streamed = client.post(f"/v1/{path}", json=body | {"stream": True}).text
            assert whole["choices"][0]["finish_reason"] == openai
            assert streamed.count(f'"finish_reason":"{openai}"') == 1
            assert streamed.count('"finish_reason":null') == 1

        whole = client.post("/invocations", json=invocation).json()
        streamed = client.post("/invocations", json=invocation | {"stream": True}).text

    assert whole["details"]["finish_reason"] == djl
    assert streamed.count(f'"finish_reason":"{djl}"') == 1
