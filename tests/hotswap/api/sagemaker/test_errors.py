"""Errors that botocore takes for SageMaker's, and the container's answer in them."""

import json
from typing import Any

import pytest

from hotswap.errors import (
    HotswapError,
    Overloaded,
    StepFailed,
    StillLoading,
    Stopping,
    UnknownAdapter,
)
from tests.hotswap.api.sagemaker.asking import invoke, refused, stream
from tests.hotswap.api.sagemaker.conftest import Served

BOTH = pytest.mark.parametrize("ask", [invoke, stream])


@BOTH
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 424),
        ({"inputs": []}, 424),
        ({"inputs": ""}, 424),
        ({"inputs": "a", "adapters": ["x", "y"]}, 424),
        ({"text": "a"}, 424),
        ({"messages": []}, 424),
        ({"inputs": "a", "parameters": {"top_p": 2}}, 400),
        ({"inputs": "a", "nobody": 1}, 400),
    ],
    ids=str,
)
def test_what_the_container_refuses_is_a_model_error(
    ask: Any, body: Any, code: int, client: Any, served: Served
) -> None:
    found = refused("ModelError", ask, client, body)

    with served.live.client() as http:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        plain = http.post("/invocations", content=content)
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert found["OriginalStatusCode"] == plain.status_code == code
    assert json.loads(found["OriginalMessage"]) == plain.json()
    assert plain.json()["message"] in json.loads(found["OriginalMessage"])["message"]


@BOTH
def test_an_unknown_endpoint_is_a_validation_error(
    ask: Any, client: Any, served: Served
) -> None:
    found = refused("ValidationError", ask, client, name="nowhere")

    assert "nowhere" in found["Error"]["Message"]
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"InferenceComponentName": "nope"}, "ValidationError"),
        ({"TargetModel": "nope.tar.gz"}, "ValidationError"),
        ({"body": {"inputs": "a", "adapter": "nope"}}, "ModelError"),
        ({"body": {"inputs": "a", "model": "nope"}}, "ModelError"),
    ],
    ids=str,
)
def test_an_unknown_adapter_is_the_services_error_if_a_header_names_it(
    said: dict[str, Any], kind: str, client: Any, served: Served
) -> None:
    served.engine.says = [UnknownAdapter("nope")]

    found = refused(kind, invoke, client, **said)

    assert "nope" in found["Error"]["Message"]


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (Overloaded("the queue is full", 2.0), "ServiceUnavailable", 503),
        (StillLoading("x"), "ServiceUnavailable", 503),
        (Stopping(), "ServiceUnavailable", 503),
        (StepFailed("the step has failed"), "InternalFailure", 500),
    ],
    ids=str,
)
def test_what_may_go_well_later_is_an_error_that_botocore_asks_again_after(
    error: HotswapError, kind: str, status: int, client: Any, served: Served
) -> None:
    served.engine.says = [error]

    found = refused(kind, invoke, client)

    assert found["Error"]["Message"] == str(error)
    assert found["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_bug_tells_nothing_of_itself(
    client: Any, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.engine, "says", [])

    found = refused("InternalFailure", invoke, client)

    assert "log" in found["Error"]["Message"]


@pytest.mark.parametrize(("method", "path"), [("GET", "invocations"), ("POST", "x")])
def test_another_operation_is_unknown(method: str, path: str, served: Served) -> None:
    with served.live.client() as http:
        answer = http.request(method, f"/endpoints/tiny/{path}")

    assert answer.status_code in (404, 405)
    assert answer.headers["x-amzn-errortype"] == "UnknownOperationException"
