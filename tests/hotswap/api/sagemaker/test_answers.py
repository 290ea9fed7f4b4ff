"""Answers that boto3's `sagemaker-runtime` reads, whole and in parts."""

import json
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import EventStreamError

from hotswap.api.djl import event_stream
from hotswap.errors import StepFailed
from tests.hotswap.api.sagemaker.asking import GENERATE, invoke, opened, stream
from tests.hotswap.api.sagemaker.conftest import Served, piece

STREAMED = GENERATE | {"stream": True}
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "abc"}]}


def test_an_endpoint_is_invoked(client: Any, served: Served) -> None:
    answer = invoke(client)

    assert answer["told"] == {"generated_text": "ab"}
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert served.adapter == ""


def test_an_endpoint_that_stands_for_an_adapter_is_invoked(
    client: Any, served: Served
) -> None:
    for ask in (invoke, stream):
        ask(client, name="harbour")
        assert served.adapter == "x"


def test_a_stream_has_a_part_for_each_line(client: Any, served: Served) -> None:
    answer = stream(client, STREAMED)

    lines = [json.loads(part) for part in answer["parts"]]
    assert [line["token"]["text"] for line in lines] == ["a", "b", ""]
    assert lines[-1]["generated_text"] == "ab"
    assert answer["ContentType"] == "application/jsonlines"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_the_stream_is_what_the_route_without_frames_sends(
    client: Any, served: Served
) -> None:
    with served.live.client() as http:
        for body in (STREAMED, GENERATE):
            plain = http.post("/invocations", json=body)
            assert b"".join(stream(client, body)["parts"]) == plain.content


def test_who_accepts_events_gets_events_in_the_parts(
    client: Any, served: Served
) -> None:
    answer = stream(client, STREAMED, Accept="text/event-stream")

    assert answer["ContentType"] == "text/event-stream"
    assert all(part.startswith(b"data:") for part in answer["parts"])


def test_an_answer_at_once_is_one_part(client: Any, served: Served) -> None:
    for body, text in ((GENERATE, "generated_text"), (CHAT, "choices")):
        answer = stream(client, body)
        (part,) = answer["parts"]
        assert text in json.loads(part)
        assert answer["ContentType"] == "application/json"


def test_a_large_answer_comes_in_parts_of_a_size_that_is_read(
    client: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "MOST_PAYLOAD", 1000)
    served.engine.says = [piece("x" * 5000), piece("", is_last=True)]

    found = stream(client)["parts"]

    assert max(map(len, found)) == 1000
    assert json.loads(b"".join(found))["generated_text"] == "x" * 5000


@pytest.mark.parametrize("body", [STREAMED, CHAT | {"stream": True}], ids=str)
def test_an_error_amid_a_stream_is_a_model_stream_error(
    body: dict[str, Any], client: Any, served: Served
) -> None:
    served.engine.says = [piece("a"), StepFailed("the step has failed")]

    with closing(opened(client, body)["Body"]) as events:
        found = iter(events)
        assert b"a" in next(found)["PayloadPart"]["Bytes"]
        with pytest.raises(
            EventStreamError, match=r"ModelStreamError.*step has failed"
        ):
            list(found)


def test_an_error_before_the_first_part_is_an_error_of_the_request(
    client: Any, served: Served
) -> None:
    served.engine.says = [StepFailed("the step has failed")]

    with pytest.raises(client.exceptions.InternalFailure, match="step has failed"):
        stream(client, STREAMED)
