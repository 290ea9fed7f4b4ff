"""Every way in which a client names an adapter: honoured or refused, never base."""

from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Request
from litestar.testing import TestClient

from hotswap.api.shared.schemas import AdapterFields
from hotswap.api.shared.selection import select
from hotswap.errors import BadRequest
from tests.fake_server import FakeEngine, FakeLibrary, app_of

BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "abc"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "abc"}]},
    "/invocations": {"inputs": "abc"},
    "/predictions/tiny": {"inputs": "abc"},
    "/models/tiny/invoke": {"inputs": "abc"},
}
IDENTIFIER = "X-Amzn-SageMaker-Adapter-Identifier"
COMPONENT = "X-Amzn-SageMaker-Inference-Component"
TARGET = "X-Amzn-SageMaker-Target-Model"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[TestClient, FakeEngine]]:
    """A server of `tiny`, also called `org/tiny:v1`."""
    engine = FakeEngine()
    library = FakeLibrary(aliases={"alias": "x"})
    with TestClient(app_of(engine, library, also_base=("org/tiny:v1",))) as client:
        yield client, engine


@pytest.fixture
def client(shared: tuple[TestClient, FakeEngine]) -> TestClient:
    return shared[0]


@pytest.fixture
def engine(shared: tuple[TestClient, FakeEngine]) -> FakeEngine:
    shared[1].messages.clear()
    return shared[1]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "form",
    [
        {"headers": {IDENTIFIER: "x"}},
        {"headers": {IDENTIFIER.lower(): "alias"}},
        {"headers": {IDENTIFIER: "x", "X-Amzn-SageMaker-Adapter-Alias": "shown"}},
        {"headers": {COMPONENT: "x"}},
        {"headers": {COMPONENT.upper(): "x"}},
        {"headers": {TARGET: "x"}},
        {"headers": {TARGET.lower(): "x.tar.gz"}},
        {"headers": {TARGET: "org/tiny:v1:alias"}},
        {"headers": {ATTRIBUTES: f"trace=1;{IDENTIFIER}=x"}},
        {"headers": {ATTRIBUTES: "opaque", COMPONENT: "x"}},
        {"params": {"adapter": "x"}},
        {"params": {"adapter": "x", "model_name": "tiny"}},
        {"json": {"adapters": "x"}},
        {"json": {"adapters": ["x"]}},
        {"json": {"adapter": "x"}},
        {"json": {"model": "x"}},
        {"json": {"model": "tiny:x"}},
        {"json": {"model": "org/tiny:v1:x"}},
    ],
    ids=str,
)
def test_a_form_that_is_known_is_honoured(
    path: str, form: dict[str, Any], client: TestClient, engine: FakeEngine
) -> None:
    form = {**form, "json": {**BODIES[path], **form.get("json", {})}}

    answer = client.post(path, **form)

    assert answer.status_code == 200, answer.text
    assert engine.messages[-1].adapter == "x"
    assert answer.json().get("model", "x") == "x"


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "form",
    [
        {"params": {"adapters": "x"}},
        {"params": {"adapter_id": "x"}},
        {"params": {"adaptor": "x"}},
        {"params": {"lora": "x"}},
        {"params": {"model": "x"}},
        {"params": {"model_name": "x"}},
        {"params": {"adapter": ["x", "y"]}},
        {"headers": {"X-Amzn-SageMaker-Adapter-Alias": "x"}},
        {"headers": {"x-adapter-id": "x"}},
        {"headers": {"x-hotswap-adapter": "x"}},
        {"headers": {"X-LoRA": "x"}},
        {"headers": {"adapter": "x"}},
        {"headers": {ATTRIBUTES: "adapter=x"}},
        {"headers": {ATTRIBUTES: f"{IDENTIFIER}=x", IDENTIFIER: "x"}},
        {"headers": {ATTRIBUTES: "model_name=x"}},
        {"headers": {"model_name": "x"}},
        *(
            {"json": {field: "x"}}
            for field in (
                "adapter_id",
                "adapter_source",
                "merged_adapters",
                "lora_path",
                "lora",
                "lora_request",
                "lora_name",
                "lora_dir",
                "adaptor",
            )
        ),
        {"json": {"lora": [{"id": 0, "scale": 1.0}]}},
        {"json": {"adapter": {"generation": "x"}}},
    ],
    ids=str,
)
def test_a_form_that_is_not_known_is_refused_by_its_name(
    path: str, form: dict[str, Any], client: TestClient, engine: FakeEngine
) -> None:
    form = {**form, "json": {**BODIES[path], **form.get("json", {})}}

    answer = client.post(path, **form)

    assert answer.status_code in (400, 404, 424), answer.text
    assert not engine.messages
    message = answer.json().get("message") or answer.json()["error"]["message"]
    assert "`" in message


@pytest.mark.parametrize("name", [IDENTIFIER, COMPONENT, TARGET])
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    raw = name.lower().encode()
    scope = {"type": "http", "headers": [(raw, b"x"), (raw, b"y")], "query_string": b""}
    request = Request({**scope, "path": "/", "method": "POST"})  # type: ignore

    with pytest.raises(BadRequest, match="more than once"):
        select(request, AdapterFields(), ["tiny"])


@pytest.mark.parametrize("field", ["adapter_id", "adapter_source", "merged_adapters"])
def test_an_adapter_among_djls_parameters_is_refused(
    field: str, client: TestClient, engine: FakeEngine
) -> None:
    body = {"inputs": "abc", "parameters": {field: "x"}}

    answer = client.post("/invocations", json=body)

    assert answer.status_code == 400
    assert field in answer.json()["message"]
    assert not engine.messages


@pytest.mark.parametrize(
    ("form", "model"),
    [
        ({}, "tiny"),
        ({"json": {"model": "org/tiny:v1"}}, "org/tiny:v1"),
        ({"json": {"model": "base"}}, "tiny"),
        ({"json": {"model": "org/tiny:v1:base"}}, "tiny"),
        ({"json": {"model": "tiny", "adapters": "x"}}, "x"),
        ({"json": {"model": "y", "adapters": "x"}}, "x"),
        ({"json": {"model": "x", "adapter": ""}}, "tiny"),
        ({"json": {"model": "alias"}}, "x"),
        ({"json": {"model": "y"}, "headers": {IDENTIFIER: "x"}}, "x"),
        ({"json": {"model": "x"}, "headers": {COMPONENT: "org/tiny:v1"}}, "tiny"),
        ({"json": {"prompt": ["a", "b"], "adapters": ["x", ""]}}, "x, tiny"),
    ],
)
def test_the_answers_model_says_what_ran(
    form: dict[str, Any], model: str, client: TestClient
) -> None:
    body = {"prompt": "abc", **form.get("json", {})}
    headers = form.get("headers")

    whole = client.post("/v1/completions", json=body, headers=headers)
    stream = client.post(
        "/v1/completions", json=body | {"stream": True}, headers=headers
    )

    assert whole.json()["model"] == model
    assert f'"model":"{model}"' in stream.text


def test_a_base_with_nothing_after_the_colon_is_no_name_of_the_base(
    client: TestClient, engine: FakeEngine
) -> None:
    client.post("/v1/completions", json={"prompt": "abc", "model": "tiny:"})

    assert engine.messages[-1].adapter == "tiny:"
