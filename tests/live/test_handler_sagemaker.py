"""What the operator's handler answers reaches SageMaker's own client: whole, in frames,
and amid a stream that breaks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from tests.live.handlers import handled

MODEL = """
from djl_python import Output

def breaks():
    yield "first"
    raise ValueError("broken amid it")

def handle(inputs):
    if inputs.is_empty():
        return None
    what = inputs.get_as_json()["do"]
    if what == "whole":
        return Output().add_as_json({"n": 1}).add_property("X-Mine", "yes")
    if what == "raise":
        raise ValueError("not today")
    made = iter(["a ", "b"]) if what == "stream" else breaks()
    return Output().add_stream_content(made, None)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    work: Path = tmp_path_factory.mktemp("sagemaker")
    with handled(work, MODEL) as client:
        yield boto3.client(
            "sagemaker-runtime",
            endpoint_url=str(client.base_url),
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(retries={"max_attempts": 0}),
        )


def asked(what: str) -> dict[str, Any]:
    body = json.dumps({"do": what})
    return {"EndpointName": "echo", "ContentType": "application/json", "Body": body}


def parts(answer: dict[str, Any]) -> Iterator[bytes]:
    for event in answer["Body"]:
        yield event["PayloadPart"]["Bytes"]


def test_its_answer_comes_whole(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(**asked("whole"))

    assert json.loads(answer["Body"].read()) == {"n": 1}
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-mine"] == "yes"


def test_its_answer_comes_in_frames(runtime: Any) -> None:
    stream, whole = (
        list(parts(runtime.invoke_endpoint_with_response_stream(**asked(what))))
        for what in ("stream", "whole")
    )

    assert stream == [b"a ", b"b"]
    assert json.loads(b"".join(whole)) == {"n": 1}


def test_a_stream_that_breaks_is_a_stream_error(runtime: Any) -> None:
    answer = parts(runtime.invoke_endpoint_with_response_stream(**asked("breaks")))

    assert next(answer) == b"first"
    with pytest.raises(EventStreamError, match="broken amid it"):
        next(answer)


@pytest.mark.parametrize(
    "way", ["invoke_endpoint", "invoke_endpoint_with_response_stream"]
)
def test_what_it_raises_is_a_model_error(runtime: Any, way: str) -> None:
    with pytest.raises(ClientError) as told:
        getattr(runtime, way)(**asked("raise"))

    assert told.value.response["Error"]["Code"] == "ModelError"
