"""What DJL's management refuses, with its codes and words, changes nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hotswap import app
from tests.live.djl_management.routes import error, names, predict, register
from tests.servers import Live, settings


def test_an_adapter_that_is_missing_is_an_error_not_the_base(
    client: httpx.Client,
) -> None:
    response = client.post("/predictions/tiny?adapter=adaptable", json={"inputs": "x"})

    assert "adaptable" in error(response, 424, "BadRequestException")


def test_a_duplicate_changes_nothing(client: httpx.Client, shelf: Path) -> None:
    register(client, "a", shelf / "x")
    before = predict(client, adapter="a")

    twice = register(client, "a", shelf / "y", pin="true")

    assert error(twice, 409, "IllegalArgumentException") == (
        "The adapter a already exists. If you want to replace it, please unregistering "
        "before registering a new adapter with the same name."
    )
    assert predict(client, adapter="a") == before
    assert client.get("/adapters/a").json()["pin"] is False


def test_of_many_that_register_one_name_at_once_one_succeeds(
    client: httpx.Client, shelf: Path
) -> None:
    def one(number: int) -> int:
        source = shelf / "xy"[number % 2]
        return register(client, "a", source).status_code

    with ThreadPoolExecutor(8) as crowd:
        codes = sorted(crowd.map(one, range(16)))

    assert codes == [200, *[409] * 15]
    assert names(client) == ["a", "built-in"]


@pytest.mark.parametrize(
    ("fail", "code", "message"),
    [("error", 424, "not this one"), ("oom", 507, "no slot is free")],
)
def test_what_a_hook_vetoes_changes_nothing(
    fail: str, code: int, message: str, client: httpx.Client, shelf: Path
) -> None:
    refused = register(client, "a", shelf / "x", fail=fail)
    after_refused = names(client)
    register(client, "a", shelf / "x")
    update = client.post("/adapters/a/update", params={"pin": "true", "fail": fail})

    assert message in error(
        refused, code, "BadRequestException" if code < 500 else "NoRoom"
    )
    assert after_refused == ["built-in"]
    assert update.status_code == code
    assert client.get("/adapters/a").json()["pin"] is False


@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_another_model_is_not_found(method: str, client: httpx.Client) -> None:
    paths = {
        "get": ["/models/nope/adapters", "/models/nope/adapters/a"],
        "post": [
            "/models/nope/adapters?name=a&src=x",
            "/models/nope/adapters/a/update",
        ],
        "delete": ["/models/nope/adapters/a"],
    }

    for path in paths[method]:
        message = error(client.request(method, path), 404, "BadRequestException")
        assert message == "The model nope was not found"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/adapters/nope"),
        ("post", "/adapters/nope/update?pin=true"),
        ("delete", "/adapters/nope"),
        ("delete", "/models/tiny/adapters/nope"),
    ],
)
def test_an_unknown_adapter_is_not_found(
    method: str, path: str, client: httpx.Client
) -> None:
    message = error(client.request(method, path), 404, "BadRequestException")

    assert message == "The adapter nope was not found"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", "/adapters"),
        ("delete", "/adapters"),
        ("patch", "/models/tiny/adapters"),
        ("post", "/adapters/built-in"),
        ("put", "/adapters/built-in"),
        ("post", "/adapters/built-in/upgrade"),
        ("post", "/models"),
        ("delete", "/models/tiny"),
    ],
)
def test_another_method_is_not_allowed(
    method: str, path: str, client: httpx.Client
) -> None:
    message = error(client.request(method, path), 405, "MethodNotAllowedException")

    assert message == ("Requested method is not allowed, please refer to API document.")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "The parameter name is required"),
        ({"name": "", "src": "x"}, "The parameter name is required"),
        ({"name": "a"}, "The parameter src is required"),
        ({"name": "a", "src": ""}, "The parameter src is required"),
        ({"name": "tiny", "src": "x"}, "the name `tiny` is the bare model's"),
        ({"name": "base", "src": "x"}, "the name `base` is the bare model's"),
        (
            {"name": "tiny:a1", "src": "x"},
            "the name `tiny:a1` asks for the adapter `a1` of the bare model",
        ),
    ],
)
def test_a_name_and_a_source_are_required(
    query: dict[str, str], message: str, client: httpx.Client
) -> None:
    response = client.post("/adapters", params=query)

    assert error(response, 400, "BadRequestException") == message


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".hidden", "line\nbreak", "nul\0", "x" * 4001, "\u202e"]
)
def test_a_hostile_name_is_refused(
    name: str, client: httpx.Client, shelf: Path
) -> None:
    error(register(client, name, shelf / "x"), 400, "BadRequestException")

    assert names(client) == ["built-in"]


@pytest.mark.parametrize(
    ("src", "code", "kind"),
    [
        ("s3://bucket/x", 409, "IllegalArgumentException"),
        ("https://example.org/x", 409, "IllegalArgumentException"),
        ("/etc", 403, "BadRequestException"),
        ("../../../../etc", 403, "BadRequestException"),
        ("no-such-folder", 424, "BadRequestException"),
        ("{shelf}/broken", 424, "BadRequestException"),
        ("{shelf}/../x\0", 403, "BadRequestException"),
    ],
)
def test_a_source_that_cannot_be_is_refused(
    src: str, code: int, kind: str, client: httpx.Client, shelf: Path
) -> None:
    refused = register(client, "a", src.format(shelf=shelf))

    error(refused, code, kind)
    assert ("refusal" in refused.json()) == (code == 424)
    assert names(client) == ["built-in"]


def test_pin_without_preload_is_refused_in_djls_words(
    client: httpx.Client, shelf: Path
) -> None:
    refused = register(client, "a", shelf / "x", preload="false", pin="true")

    message = error(refused, 424, "BadRequestException")
    assert message == "Can not set preload to false and pin to true"


@pytest.mark.parametrize("path", ["/invocations", "/predictions/tiny"])
def test_a_request_cannot_reach_a_hook_through_inference(
    path: str, client: httpx.Client
) -> None:
    headers = {"handler": "register_adapter", "name": "a", "src": "x"}

    refused = client.post(path, json={"inputs": "x"}, headers=headers)

    message = error(refused, 400, "BadRequestException")
    assert message == "The handler can't be overridden in a request"


def test_without_lora_management_says_so(model_folder: Path, shelf: Path) -> None:
    configured = settings(model_folder, shelf, lora={"enable_lora": False})

    with (
        Live(app.build(configured)) as server,
        server.client() as client,
    ):
        answers = [
            client.get("/adapters"),
            client.post("/adapters?name=a&src=x"),
            client.get("/adapters/x"),
            client.post("/adapters/x/update?pin=true"),
            client.delete("/models/tiny/adapters/x"),
        ]
        named = client.post("/invocations", json={"inputs": "x", "adapter": "x"})
        load = client.post("/v1/load_lora_adapter", content=json.dumps({}))

    for answer in answers:
        assert error(answer, 400, "BadRequestException") == "LoRA is not enabled."
    error(named, 424, "BadRequestException")
    assert load.json()["error"]["message"] == "LoRA is not enabled."
