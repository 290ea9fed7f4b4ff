"""boto3's `sagemaker-runtime` at a real server: adapters, streams, who leaves, keys."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.live.locked import locked
from tests.pages import ROOT, blocks
from tests.servers import Live, wait_until

BODY = {"inputs": "Hello", "parameters": {"max_new_tokens": 8}}
# Far more work than a test takes.
LONG = {"max_new_tokens": 400, "ignore_eos_token": True}
CONFIG = Config(retries={"max_attempts": 0}, read_timeout=0.5)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def runtime(live: Live) -> Any:
    return boto3.client("sagemaker-runtime", endpoint_url=live.url)


@pytest.fixture
def http(live: Live) -> Iterator[httpx.Client]:
    with live.client() as client:
        yield client


def asked(body: Any, **said: str) -> dict[str, Any]:
    return {
        "EndpointName": "tiny",
        "ContentType": "application/json",
        "Body": json.dumps(body),
        **said,
    }


def test_each_way_of_naming_an_adapter_is_answered_by_it(
    runtime: Any, http: httpx.Client
) -> None:
    ways = ({"InferenceComponentName": "a1"}, {"TargetModel": "a1.tar.gz"})
    plain = http.post("/invocations", json=BODY | {"adapter": "a1"}).json()
    base = http.post("/invocations", json=BODY).json()

    for said in ways:
        answer = runtime.invoke_endpoint(**asked(BODY, **said))
        assert json.load(answer["Body"]) == plain != base


def test_a_stream_says_what_the_answer_at_once_says(runtime: Any) -> None:
    said = {"InferenceComponentName": "a2"}
    whole = json.load(runtime.invoke_endpoint(**asked(BODY, **said))["Body"])

    answer = runtime.invoke_endpoint_with_response_stream(
        **asked(BODY | {"stream": True}, **said)
    )
    lines = [json.loads(event["PayloadPart"]["Bytes"]) for event in answer["Body"]]

    assert len(lines) == 8
    assert lines[-1]["generated_text"] == whole["generated_text"]


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_leaves_frees_its_job(
    streams: bool, live: Live, http: httpx.Client
) -> None:
    runtime = boto3.client("sagemaker-runtime", endpoint_url=live.url, config=CONFIG)
    body: dict[str, Any] = {"inputs": ["Hello"] * 8, "parameters": LONG}
    before = http.get("/v1/status").json()["counters"]["cancelled"]

    if streams:
        body = {"inputs": "Hello", "parameters": LONG, "stream": True}
        answer = runtime.invoke_endpoint_with_response_stream(**asked(body))
        next(iter(answer["Body"]))
        answer["Body"].close()
    else:
        with pytest.raises(ReadTimeoutError):
            runtime.invoke_endpoint(**asked(body))

    wait_until(lambda: http.get("/v1/status").json()["live"] == 0)
    assert http.get("/v1/status").json()["counters"]["cancelled"] > before


def test_a_key_is_shown_as_the_page_of_keys_says(tmp_path: Path) -> None:
    page = blocks(ROOT / "docs" / "keys.md")
    (shown,) = [block.text for block in page if block.language == "python"]
    with locked(tmp_path) as server:
        shown = shown.replace("https://models.example", server.live.url)
        place: dict[str, Any] = {"boto3": boto3, "key": server.api}
        exec(compile(shown, "keys.md", "exec"), place)
        body = asked({"inputs": "abc"}) | {"EndpointName": "echo"}

        answer = place["client"].invoke_endpoint(**body)
        signed = boto3.client("sagemaker-runtime", endpoint_url=server.live.url)
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            signed.invoke_endpoint(**body)

    assert json.load(answer["Body"])["generated_text"]
