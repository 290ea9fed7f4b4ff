"""The events of a stream add up to the answer that is sent at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from litestar.testing import TestClient

from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Piece
from hotswap.errors import StepFailed
from scheduler import Mode
from tests.fake_server import FakeEngine, app_of
from tests.hotswap.api.chat.speaking import HERMES, Speaking, speaking
from tests.hotswap.api.responses.asking import (
    PATH,
    TOOLS,
    events,
    joined,
    lasting,
    respond,
)

ROME = '{"city": "Rome"}'
CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {ROME}}}\n</tool_call>'
TIME = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
SCRAPS = ["<think>", "hm", "</think>", "Ahoy", " ", "\n", "é", CALL, TIME]


@pytest.fixture(scope="module")
def server() -> Iterator[Speaking]:
    with speaking(HERMES, reasoning_parser="qwen3") as server:
        yield server


@settings(max_examples=60, deadline=None)
@given(
    scraps=st.lists(st.sampled_from(SCRAPS), max_size=6),
    size=st.integers(1, 40),
    finish=st.sampled_from(["eos", "length"]),
)
def test_however_an_answer_is_cut_its_stream_is_the_whole(
    server: Speaking, scraps: list[str], size: int, finish: Any
) -> None:
    server.says("".join(scraps), size=size, finish=finish)

    whole = respond(server.http, tools=TOOLS)
    stream = events(server.http, tools=TOOLS)

    done = [e["item"] for e in stream if e["type"] == "response.output_item.done"]
    last = stream[-1]["response"]
    assert done == last["output"]
    assert lasting(joined(stream)) == lasting(done) == lasting(whole["output"])
    assert lasting(last) == lasting(whole)
    is_cut = finish == "length"
    assert (
        whole["status"] == last["status"] == ("incomplete" if is_cut else "completed")
    )
    assert stream[-1]["type"] == f"response.{whole['status']}"


def test_thought_text_and_calls_are_items_in_their_order(server: Speaking) -> None:
    server.says(f"<think>hm</think>I look.\n{CALL}\n{TIME}")

    thought, message, call, other = respond(server.http, tools=TOOLS)["output"]

    assert thought["type"] == "reasoning"
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert [part["text"] for part in message["content"]] == ["I look."]
    assert (call["type"], call["name"]) == ("function_call", "get_weather")
    assert (call["arguments"], other["arguments"]) == (ROME, "{}")
    assert call["call_id"].startswith("call_")
    assert call["call_id"] != other["call_id"]
    assert {each["status"] for each in (thought, message, call)} == {"completed"}


def test_a_stream_begins_and_ends_as_openais(server: Speaking) -> None:
    server.says("Ahoy", size=2)

    stream = events(server.http)

    assert [event["type"].removeprefix("response.") for event in stream] == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.done"),
        *("content_part.done", "output_item.done", "completed"),
    ]
    ids = {event["response"]["id"] for event in stream if "response" in event}
    assert len(ids) == 1
    assert ids.pop().startswith("resp_")
    assert stream[0]["response"]["status"] == "in_progress"
    assert stream[0]["response"]["usage"] is None


def test_an_answer_that_is_cut_says_where_and_why(server: Speaking) -> None:
    server.says(f"Well. {CALL[:-20]}", finish="length")

    answer = respond(server.http, tools=TOOLS, max_output_tokens=7)

    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in answer["output"]] == ["completed", "incomplete"]
    assert answer["max_output_tokens"] == 7


def test_an_answer_of_nothing_is_an_empty_message(server: Speaking) -> None:
    server.says("")

    (message,) = respond(server.http)["output"]

    assert [part["text"] for part in message["content"]] == [""]


def test_usage_counts_tokens_of_the_prompt_of_reasoning_and_of_all(
    server: Speaking,
) -> None:
    server.says("<think>hm</think>yes", size=1)

    usage = respond(server.http)["usage"]

    assert usage["input_tokens"] == len(server.engine.messages[-1].prompt)
    assert usage["output_tokens"] == len("<think>hm</think>yes") + 1  # and its end
    thought = usage["output_tokens_details"]["reasoning_tokens"]
    assert len("<think>hm") <= thought <= len("<think>hm</think>")
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@dataclass
class FailingEngine(FakeEngine):
    """Fails after so many tokens."""

    tokens: int = 0

    def post(self, message: Submit) -> None:
        message.ticket.deliver(Accepted("g"))
        for _ in range(self.tokens):
            message.ticket.deliver(Piece(token=2, text="x", mode=Mode.MERGED))
        message.ticket.deliver(StepFailed("the step failed"))


def test_an_error_after_the_first_token_is_an_event_and_before_it_a_status() -> None:
    with TestClient(app_of(FailingEngine(tokens=2))) as client:
        stream = events(client)
    with TestClient(app_of(FailingEngine())) as client:
        answer = client.post(PATH, json={"input": "hi", "stream": True})

    assert stream[-1]["type"] == "response.failed"
    response = stream[-1]["response"]
    assert response["status"] == "failed"
    assert response["error"] == {"code": "server_error", "message": "the step failed"}
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "the step failed"


def test_headers_say_what_ran() -> None:
    with TestClient(app_of(FakeEngine())) as client:
        named = client.post(PATH, json={"input": "hi", "model": "pirate"})
        asked = client.post(f"{PATH}?adapter=sql", json={"input": "hi"})

    assert named.headers["x-hotswap-adapter"] == named.json()["model"] == "pirate"
    assert asked.headers["x-hotswap-adapter"] == asked.json()["model"] == "sql"
    assert named.headers["x-hotswap-generation"] == "g"
    assert named.headers["x-hotswap-mode"] == "merged"
