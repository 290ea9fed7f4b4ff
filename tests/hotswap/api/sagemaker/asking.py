"""Asking an endpoint with boto3, at once and as a stream."""

import json
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

GENERATE: dict[str, Any] = {"inputs": "abc"}


def invoke(client: Any, body: Any = None, name: str = "tiny", **said: Any) -> Any:
    """The answer to InvokeEndpoint, with its body as `told`."""
    answer = client.invoke_endpoint(**_asked(name, body, said))
    answer["told"] = json.load(answer["Body"])
    return answer


def stream(client: Any, body: Any = None, name: str = "tiny", **said: Any) -> Any:
    """The answer to InvokeEndpointWithResponseStream, with its `parts`."""
    answer = opened(client, body, name, **said)
    with closing(answer["Body"]) as events:
        answer["parts"] = [event["PayloadPart"]["Bytes"] for event in events]
    return answer


def opened(client: Any, body: Any = None, name: str = "tiny", **said: Any) -> Any:
    """The same, not read yet: its Body is to be closed."""
    return client.invoke_endpoint_with_response_stream(**_asked(name, body, said))


def refused(kind: str, ask: Any, *args: Any, **said: Any) -> dict[str, Any]:
    """What botocore makes of an error of that kind."""
    with pytest.raises(ClientError) as caught:
        ask(*args, **said)
    response: dict[str, Any] = dict(caught.value.response)
    assert response["Error"]["Code"] == kind, response
    assert type(caught.value).__name__ in (kind, "ClientError")
    return response


def _asked(name: str, body: Any, said: dict[str, Any]) -> dict[str, Any]:
    content = GENERATE if body is None else body
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return {
        "EndpointName": name,
        "ContentType": "application/json",
        "Body": raw,
        **said,
    }
