"""boto3's sagemaker-runtime: an endpoint is this server, its component an adapter."""

import json
from typing import Any

import boto3
import pytest

from tests.clients.asking import Server
from tests.clients.conftest import Snippet

BODY = json.dumps({"inputs": "Hello", "parameters": {"max_new_tokens": 8}})


@pytest.fixture
def client(server: Server) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )


def invoke(client: Any, name: str, **more: Any) -> Any:
    return client.invoke_endpoint(
        EndpointName=name, ContentType="application/json", Body=BODY, **more
    )


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("boto3") == server.completion("pirate")


def test_a_component_is_an_adapter(client: Any, server: Server) -> None:
    for adapter in ("pirate", "sql"):
        answer = invoke(client, "tiny", InferenceComponentName=adapter)
        ran = answer["ResponseMetadata"]["HTTPHeaders"]["x-hotswap-adapter"]
        told = json.load(answer["Body"])
        assert ran == adapter
        assert told["generated_text"] == server.completion(adapter)


def test_without_a_component_the_base_answers(client: Any) -> None:
    answer = invoke(client, "tiny")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-hotswap-adapter"] == "base"


def test_an_unknown_component_is_its_model_error(client: Any) -> None:
    with pytest.raises(client.exceptions.ClientError, match="nope"):
        invoke(client, "tiny", InferenceComponentName="nope")


def test_a_response_stream(client: Any, server: Server) -> None:
    body = json.loads(BODY) | {"stream": True}
    answer = client.invoke_endpoint(
        EndpointName="tiny",
        ContentType="application/json",
        InferenceComponentName="pirate",
        Body=json.dumps(body),
    )
    lines = answer["Body"].read().decode().splitlines()
    assert json.loads(lines[-1])["generated_text"] == server.completion("pirate")


def test_a_response_stream_in_frames(client: Any, server: Server) -> None:
    body = json.loads(BODY) | {"stream": True}
    answer = client.invoke_endpoint_with_response_stream(
        EndpointName="tiny",
        ContentType="application/json",
        InferenceComponentName="pirate",
        Body=json.dumps(body),
    )
    lines = [json.loads(event["PayloadPart"]["Bytes"]) for event in answer["Body"]]
    text = "".join(line["token"]["text"] for line in lines)
    assert text == lines[-1]["generated_text"] == server.completion("pirate")
