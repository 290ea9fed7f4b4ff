"""What boto3 says beside the body: each is honoured, or refused by its name."""

from typing import Any

import pytest

from tests.hotswap.api.sagemaker.asking import invoke, refused, stream
from tests.hotswap.api.sagemaker.conftest import Served

BOTH = pytest.mark.parametrize("ask", [invoke, stream])
IDENTIFIER = "X-Amzn-SageMaker-Adapter-Identifier"


@BOTH
@pytest.mark.parametrize(
    ("said", "adapter"),
    [
        ({"InferenceComponentName": "x"}, "x"),
        ({"InferenceComponentName": "tiny"}, ""),
        ({"CustomAttributes": f"{IDENTIFIER}=x"}, "x"),
        ({"CustomAttributes": f"trace=7; {IDENTIFIER.lower()} = x"}, "x"),
        ({"CustomAttributes": "c000b4f9-df62-4c85-a0bf-7c525f9104a4"}, ""),
        ({"CustomAttributes": "trace=7"}, ""),
        ({"InferenceId": "7"}, ""),
        ({"PrefixAwareId": "7"}, ""),
    ],
    ids=str,
)
def test_what_is_honoured(
    ask: Any, said: dict[str, str], adapter: str, client: Any, served: Served
) -> None:
    ask(client, **said)

    assert served.adapter == adapter


@pytest.mark.parametrize(
    ("target", "adapter"),
    [
        ("x", "x"),
        ("x.tar.gz", "x"),
        ("tiny:x", "x"),
        ("tiny", ""),
        ("tiny.tar.gz", ""),
    ],
)
def test_a_target_model_is_an_adapter_or_its_archive(
    target: str, adapter: str, client: Any, served: Served
) -> None:
    invoke(client, TargetModel=target)

    assert served.adapter == adapter


@pytest.mark.parametrize(
    ("said", "adapter"),
    [
        ({"InferenceComponentName": "x", "TargetModel": "y"}, "x"),
        (
            {"CustomAttributes": f"{IDENTIFIER}=z", "InferenceComponentName": "x"},
            "z",
        ),
        ({"TargetModel": "y"}, "y"),
    ],
)
def test_the_first_of_several_ways_wins_over_the_body(
    said: dict[str, str], adapter: str, client: Any, served: Served
) -> None:
    invoke(client, {"inputs": "abc", "adapter": "other"}, **said)

    assert served.adapter == adapter


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"SessionId": "NEW_SESSION"}, "Session-Id"),
        ({"SessionId": "abc"}, "Session-Id"),
        ({"TargetVariant": "b"}, "Target-Variant"),
        ({"TargetContainerHostname": "second"}, "Target-Container-Hostname"),
        ({"EnableExplanations": "`true`"}, "Enable-Explanations"),
        ({"CustomAttributes": f"{IDENTIFIER}=x;{IDENTIFIER}=y"}, "more than once"),
    ],
    ids=str,
)
def test_what_is_not_here_is_refused_by_its_name(
    said: dict[str, str], named: str, client: Any, served: Served
) -> None:
    found = refused("ValidationError", invoke, client, **said)

    assert named.lower() in found["Error"]["Message"].lower()
    assert not served.engine.messages


@pytest.mark.parametrize("attributes", ["adapter=x", "lora=x", "X-Adapter-Id=x"])
def test_an_attribute_that_speaks_of_an_adapter_otherwise_is_refused(
    attributes: str, client: Any, served: Served
) -> None:
    refused("ModelError", invoke, client, CustomAttributes=attributes)

    assert not served.engine.messages


@pytest.mark.parametrize(
    "said", [{"TargetVariant": "AllTraffic"}, {"EnableExplanations": "`false`"}]
)
def test_a_value_that_changes_nothing_passes(
    said: dict[str, str], client: Any, served: Served
) -> None:
    assert invoke(client, **said)["told"] == {"generated_text": "ab"}


def test_every_header_of_botocores_model_is_decided(client: Any) -> None:
    """A newer one fails this test and has to be thought about."""
    said: set[str] = set()
    for operation in ("InvokeEndpoint", "InvokeEndpointWithResponseStream"):
        shape = client.meta.service_model.operation_model(operation).input_shape
        said |= set(shape.members)

    assert said == {
        *("EndpointName", "Body", "ContentType", "Accept", "CustomAttributes"),
        *("TargetModel", "TargetVariant", "TargetContainerHostname", "InferenceId"),
        *("EnableExplanations", "InferenceComponentName", "SessionId", "PrefixAwareId"),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-synchronous", "false"), ("x-starting-token", "7"), ("model_version", "1")],
)
def test_a_header_of_djls_that_would_change_the_answer_is_refused(
    name: str, value: str, served: Served
) -> None:
    with served.live.client() as http:
        for path in (
            "/invocations",
            "/predictions/tiny",
            "/endpoints/tiny/invocations",
        ):
            answer = http.post(path, json={"inputs": "abc"}, headers={name: value})
            assert answer.status_code == (424 if "endpoints" in path else 400)
            assert f"`{name}`" in answer.text
    assert not served.engine.messages
