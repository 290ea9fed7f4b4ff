"""Answers, streams and errors of TGI's and LoRAX' routes, in their shapes."""

from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.engine.messages import Submit
from hotswap.engine.ticket import Accepted, Piece
from hotswap.errors import StepFailed
from scheduler import Mode
from tests.fake_server import FakeEngine
from tests.hotswap.api.tgi.asking import ask, events


def test_an_answer_is_alone_at_generate_and_in_a_list_at_the_root(
    client: TestClient,
) -> None:
    assert ask(client).json() == {"generated_text": "x"}
    assert ask(client, "/").json() == [{"generated_text": "x"}]


def test_details_are_tgis_and_loraxs_together(
    client: TestClient, scorer: FakeEngine
) -> None:
    asked = {
        "details": True,
        "decoder_input_details": True,
        "top_n_tokens": 2,
        "return_k_alternatives": 1,
        "return_full_text": True,
        "do_sample": True,
        "seed": 7,
    }
    answer = ask(client, parameters=asked).json()

    token = {"id": 2, "text": "a", "logprob": -2.0, "special": False}
    second = {"id": 4, "text": "c", "logprob": -3.0, "special": False}
    alternative = {"id": 2, "text": "a", "logprob": -2.0}
    details = answer["details"]
    assert answer["generated_text"] == "abcab"
    assert details["tokens"][0] == {**token, "alternative_tokens": [alternative]}
    assert details["top_tokens"][0] == [token, second]
    assert [each["logprob"] for each in details["prefill"]] == [None, -0.5, -0.25]
    assert {*details["prefill"][0]} == {"id", "text", "logprob"}
    rest = {k: details[k] for k in ("finish_reason", "generated_tokens", "seed")}
    assert rest == {"finish_reason": "eos_token", "generated_tokens": 3, "seed": 7}
    assert details["prompt_tokens"] == 3
    assert [each["special"] for each in details["tokens"]] == [False, False, True]


@pytest.mark.parametrize("path", ["/", "/generate_stream"])
def test_a_stream_has_an_event_for_each_token_and_the_text_in_the_last(
    path: str, client: TestClient, scorer: FakeEngine
) -> None:
    stream = {"stream": True} if path == "/" else {}
    answer = ask(client, path, parameters={"details": True}, **stream)

    found = events(answer)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [each["index"] for each in found] == [1, 2, 3]
    assert [each["token"]["text"] for each in found[:2]] == ["a", "b"]
    assert [each["generated_text"] for each in found] == [None, None, "ab"]
    assert [each["details"] for each in found[:2]] == [None, None]
    assert found[2]["details"] == {
        "finish_reason": "eos_token",
        "generated_tokens": 3,
        "seed": None,
        "input_length": 3,
        "prompt_tokens": 3,
    }


def test_the_likeliest_of_several_answers_is_told_the_others_beside_it(
    client: TestClient, scorer: FakeEngine
) -> None:
    asked = {"best_of": 2, "do_sample": True, "details": True, "seed": 5}
    answer = ask(client, parameters=asked).json()

    (other,) = answer["details"]["best_of_sequences"]
    assert answer["details"]["tokens"][0]["logprob"] == -1.0
    assert other["tokens"][0]["logprob"] == -2.0
    assert {"generated_text", "finish_reason", "prefill", "seed"} <= {*other}
    assert [message.params.seed for message in scorer.messages] == [5, 6]


@pytest.mark.parametrize("said", [{"best_of": 2}, {"decoder_input_details": True}])
def test_what_cannot_be_streamed_is_refused(
    said: dict[str, Any], client: TestClient
) -> None:
    parameters = {"do_sample": True, **said}
    body = ask(client, "/generate_stream", 422, parameters=parameters).json()

    assert next(iter(said)) in body["error"]


def test_a_full_queue_is_overloaded(client: TestClient, engine: FakeEngine) -> None:
    engine.status.waiting = 10

    body = ask(client, "/", 429).json()

    assert body["error_type"] == "overloaded"


def test_an_error_in_a_stream_is_an_event(
    client: TestClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(self: FakeEngine, message: Submit) -> None:
        message.ticket.deliver(Accepted("g"))
        message.ticket.deliver(Piece(token=2, text="a", mode=Mode.MERGED))
        message.ticket.deliver(StepFailed("it broke"))

    monkeypatch.setattr(FakeEngine, "post", post)
    first, second = events(ask(client, "/generate_stream"))

    assert first["token"]["text"] == "a"
    assert second == {"error": "it broke", "error_type": "generation"}


def test_info_tells_the_model_and_the_bounds(client: TestClient) -> None:
    found = client.get("/info").json()

    assert (found["model_id"], found["max_total_tokens"]) == ("tiny", 100)
    assert (found["max_best_of"], found["max_stop_sequences"]) == (64, 16)
