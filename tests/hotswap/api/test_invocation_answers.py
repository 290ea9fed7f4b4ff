"""Answers of /invocations with all the details that DJL's documentation has."""

from typing import Any

import pytest
from litestar.testing import TestClient

from tests.fake_server import FakeEngine
from tests.hotswap.api.tgi.asking import events
from tests.hotswap.api.tgi.conftest import plain_engine, scorer

__all__ = ["plain_engine", "scorer"]


def ask(client: TestClient, code: int = 200, **fields: Any) -> Any:
    headers = fields.pop("headers", None)
    body = {"inputs": "abc", **fields}
    answer = client.post("/invocations", json=body, headers=headers)
    assert answer.status_code == code, answer.text
    return answer


def test_details_have_prefill_top_tokens_and_the_next_best(
    client: TestClient, scorer: FakeEngine
) -> None:
    asked = {
        "details": True,
        "decoder_input_details": True,
        "top_n_tokens": 2,
        "n": 2,
        "best_of": 3,
        "do_sample": True,
    }
    body = ask(client, parameters=asked).json()

    details = body["details"]
    (other,) = details["best_of_sequences"]
    scores = [s["tokens"][0]["log_prob"] for s in (details, other)]
    assert scores == pytest.approx([-2 / 3, -1.0])
    assert len(scorer.messages) == 3
    assert [each["log_prob"] for each in details["prefill"]] == [None, -0.5, -0.25]
    assert [each["id"] for each in details["top_tokens"][0]] == [2, 4]
    assert details["inputs"] == "abc"


def test_each_of_several_inputs_has_its_own_best(
    client: TestClient, scorer: FakeEngine
) -> None:
    asked = {"details": True, "best_of": 2, "n": 1, "temperature": 1.0, "seed": 3}
    found = ask(client, inputs=["abc", "ab"], parameters=asked).json()

    scores = [each["details"]["tokens"][0]["log_prob"] for each in found]
    assert scores == pytest.approx([-1.0, -0.5])
    assert [m.params.seed for m in scorer.messages] == [3, 4, 3, 4]
    assert [len(m.prompt) for m in scorer.messages] == [3, 3, 2, 2]


def test_every_parameter_of_vllms_reaches_the_engine(
    client: TestClient, engine: FakeEngine
) -> None:
    said = {
        "stop_token_ids": [5],
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "min_tokens": 2,
        "logprobs": 3,
        "truncate": 2,
        "presence_penalty": 0.5,
    }
    ask(client, parameters=said)

    message = engine.messages[-1]
    params = message.params
    assert len(message.prompt) == 2
    assert (params.stop_tokens, params.includes_stop) == (frozenset({5}), True)
    assert (params.skips_special, params.min_tokens) == (False, 2)
    assert (params.logprobs, params.presence_penalty) == (3, 0.5)


def test_the_full_text_begins_with_the_input(client: TestClient) -> None:
    found = ask(client, parameters={"return_full_text": True}).json()

    assert found == {"generated_text": "abcx"}


def test_both_names_of_stop_strings_are_stop_strings(
    client: TestClient, engine: FakeEngine
) -> None:
    ask(client, parameters={"stop_sequences": ["#"], "stop": ["%"]})

    assert engine.messages[-1].params.stop == ("#", "%")


def test_who_accepts_events_gets_events_that_tgis_clients_read(
    client: TestClient, scorer: FakeEngine
) -> None:
    accept = {"Accept": "text/event-stream"}
    answer = ask(client, stream=True, headers=accept)

    found = events(answer)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [each["generated_text"] for each in found] == [None, None, "ab"]
    assert found[0]["token"] == {
        "id": 2,
        "text": "a",
        "log_prob": -2.0,
        "logprob": -2.0,
        "special": False,
    }


@pytest.mark.parametrize(
    ("parameters", "stream", "field"),
    [
        ({"n": 3, "best_of": 2}, False, "best_of"),
        ({"min_tokens": 31}, False, "min_tokens"),  # than its default
        ({"n": 2}, True, "n"),
        ({"best_of": 2}, True, "best_of"),
        ({"decoder_input_details": True}, True, "decoder_input_details"),
        ({"early_stopping": True}, False, "early_stopping"),
    ],
    ids=str,
)
def test_contradictions_are_named(
    parameters: dict[str, Any], stream: bool, field: str, client: TestClient
) -> None:
    body = ask(client, 400, parameters=parameters, stream=stream).json()

    assert f"`{field}`" in body["error"] or f".{field}`" in body["error"]
