"""DJL's adapter management over HTTP, to the letter, as its own tests replay it."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from tests import tiny
from tests.servers import Live, settings, wait_until

ALIAS = "X-Amzn-SageMaker-Adapter-Alias"
FORMS = ["/adapters", "/models/tiny/adapters"]
HOOKS = """
def register_adapter(name, src, alias, options):
    if options.get("fail") == "error":
        raise ValueError("not this one")
    if options.get("fail") == "oom":
        raise MemoryError("no slot is free")

update_adapter = register_adapter
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root outside the watched directory: adapters `x` and `y`, and a broken one."""
    root = tmp_path_factory.mktemp("shelf")
    for seed, name in enumerate("xy"):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5, r=2)
    shutil.copytree(root / "x", root / "broken")
    (root / "broken" / "adapter_config.json").write_text("{")
    return root


@pytest.fixture(scope="module")
def client(
    model_folder: Path, shelf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    work = tmp_path_factory.mktemp("work")
    shutil.copytree(shelf / "x", work / "adapters" / "built-in")
    (work / "own.py").write_text(HOOKS)
    configured = settings(
        model_folder,
        work / "adapters",
        adapters={"roots": (str(shelf),)},
        hooks={"module": str(work / "own.py")},
    )
    with (
        Live(app.build(configured)) as server,
        server.client() as client,
    ):
        wait_until(lambda: names(client) == ["built-in"])
        yield client


@pytest.fixture(autouse=True)
def unregister_afterwards(client: httpx.Client) -> Iterator[None]:
    yield
    for name in names(client):
        if name != "built-in":
            assert client.delete(f"/adapters/{name}").status_code == 200


def names(client: httpx.Client) -> list[str]:
    return [each["name"] for each in listed(client)["adapters"]]


def listed(client: httpx.Client, form: str = "/adapters", **query: Any) -> Any:
    response = client.get(form, params=query)
    assert response.status_code == 200, response.text
    return response.json()


def register(
    client: httpx.Client, name: str, src: object, form: str = "/adapters", **more: Any
) -> httpx.Response:
    return client.post(form, params={"name": name, "src": str(src), **more})


def status(response: httpx.Response) -> str:
    """The text of a success, which is sent as DJL sends it."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/json")
    assert "no-cache" in response.headers["cache-control"]
    assert response.text.endswith("}\n")
    assert '\n  "status": ' in response.text
    assert response.headers["x-request-id"]
    return str(response.json()["status"])


def error(response: httpx.Response, code: int, kind: str) -> str:
    assert response.status_code == code, response.text
    body = response.json()
    assert body["code"] == code
    assert body["type"] == kind
    return str(body["message"])


def predict(client: httpx.Client, path: str = "/predictions/tiny", **query: Any) -> Any:
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 6}}
    response = client.post(path, params=query, json=body)
    assert response.status_code == 200, response.text
    return response.json()["generated_text"]


def test_an_adapter_that_is_missing_is_an_error_not_the_base(
    client: httpx.Client,
) -> None:
    response = client.post("/predictions/tiny?adapter=adaptable", json={"inputs": "x"})

    assert "adaptable" in error(response, 424, "BadRequestException")


@pytest.mark.parametrize("form", FORMS)
def test_registered_described_used_and_unregistered(
    form: str, client: httpx.Client, shelf: Path
) -> None:
    base = predict(client)

    made = register(client, "adaptable", shelf / "x", form, owner="me")
    answers = [
        predict(client, adapter="adaptable"),
        predict(client, "/invocations", model_name="tiny", adapter="adaptable"),
        predict(client, "/models/tiny/invoke", adapter="adaptable"),
    ]
    built_in = predict(client, adapter="built-in")
    described = client.get(f"{form}/adaptable")
    below = client.get(f"{form}/adaptable/whatever")
    gone = client.delete(f"{form}/adaptable")

    assert status(made) == "Adapter adaptable registered"
    assert answers == [built_in] * 3  # the same files
    assert base != built_in
    assert described.json() == {
        "name": "adaptable",
        "src": "x",
        "preload": True,
        "pin": False,
    }
    assert below.json() == described.json()
    assert status(gone) == "Adapter adaptable unregistered"
    assert names(client) == ["built-in"]
    response = client.post("/invocations?adapter=adaptable", json={"inputs": "x"})
    error(response, 424, "BadRequestException")


@pytest.mark.parametrize("form", FORMS)
def test_updated_is_what_was_given_and_nothing_else(
    form: str, client: httpx.Client, shelf: Path
) -> None:
    register(client, "a", shelf / "x")

    pinned = client.post(f"{form}/a/update", params={"pin": "TRUE"})
    after_pin = client.get(f"{form}/a").json()
    loose = client.post(f"{form}/a/UPDATE", params={"pin": "no"})
    after_loose = client.get(f"{form}/a").json()

    assert status(pinned) == "Adapter a updated"
    assert (after_pin["pin"], after_pin["preload"]) == (True, True)
    assert status(loose) == "Adapter a updated"
    assert after_loose["pin"] is False


def test_an_alias_is_what_texts_show(client: httpx.Client, shelf: Path) -> None:
    shown = {ALIAS: "Tenant 7"}
    place = {"name": "a", "src": str(shelf / "x")}

    made = client.post("/adapters", params=place, headers=shown)
    twice = client.post("/adapters", params=place, headers=shown)
    updated = client.post("/adapters/a/update", params={"pin": "true"})
    renamed = client.post("/adapters/a/update", headers={ALIAS.lower(): "Tenant 8"})
    gone = client.delete("/adapters/a")
    missing = client.delete("/adapters/a", headers=shown)

    assert status(made) == "Adapter Tenant 7 registered"
    assert "The adapter Tenant 7 already exists." in twice.text
    assert status(updated) == "Adapter Tenant 7 updated"
    assert status(renamed) == "Adapter Tenant 8 updated"
    assert status(gone) == "Adapter Tenant 8 unregistered"
    message = error(missing, 404, "BadRequestException")
    assert message == "The adapter Tenant 7 was not found"


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
    "name", ["a/b", "..", ".hidden", "line\nbreak", "nul\0", "x" * 129, "\u202e"]
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


def test_an_adapter_registered_without_preload_is_read_at_its_first_request(
    client: httpx.Client, shelf: Path
) -> None:
    register(client, "a", shelf / "x", preload="false")
    before = client.get("/v1/adapters/a").json()
    described = client.get("/adapters/a").json()

    text = predict(client, adapter="a")

    assert described["preload"] is False
    assert (before["residency"], before["generation"]) == ("disk", None)
    assert text == predict(client, adapter="built-in")
    assert client.get("/v1/adapters/a").json()["residency"] != "disk"
    assert client.delete("/adapters/a").status_code == 200


def test_pages_are_in_the_order_of_names_and_end(
    client: httpx.Client, shelf: Path
) -> None:
    for name in ("d", "b", "a", "c"):
        register(client, name, shelf / "x")

    first = listed(client, limit=2)
    second = listed(client, limit=2, next_page_token=first["nextPageToken"])
    last = listed(client, limit=2, next_page_token=second["nextPageToken"])
    even = listed(client, limit=5)

    pages = [[each["name"] for each in page["adapters"]] for page in (first, second)]
    assert pages == [["a", "b"], ["built-in", "c"]]
    assert [each["name"] for each in last["adapters"]] == ["d"]
    assert "nextPageToken" not in last
    assert "nextPageToken" not in even
    assert listed(client, limit=0) == {"nextPageToken": "0", "adapters": []}
    for query in ({}, {"limit": -1}, {"limit": 101}, {"next_page_token": -5}):
        assert len(listed(client, **query)["adapters"]) == 5
    assert listed(client, next_page_token=99) == {"adapters": []}
    bad = client.get("/adapters?limit=abc")
    assert error(bad, 409, "NumberFormatException") == 'For input string: "abc"'


def test_sagemakers_json_body_is_read_and_may_not_contradict_the_query(
    client: httpx.Client, shelf: Path
) -> None:
    body = {"name": "a", "src": str(shelf / "x"), "preload": True, "pin": True}

    clash = client.post("/adapters?name=b", json=body)
    wrong = client.post("/adapters", json={**body, "pinned": True})
    made = client.post("/adapters", json=body)

    assert "`name`" in error(clash, 400, "BadRequestException")
    assert "pinned" in error(wrong, 400, "BadRequestException")
    assert status(made) == "Adapter a registered"
    assert client.get("/adapters/a").json()["pin"] is True


@pytest.mark.parametrize("path", ["/invocations", "/predictions/tiny"])
def test_a_request_cannot_reach_a_hook_through_inference(
    path: str, client: httpx.Client
) -> None:
    headers = {"handler": "register_adapter", "name": "a", "src": "x"}

    refused = client.post(path, json={"inputs": "x"}, headers=headers)

    message = error(refused, 400, "BadRequestException")
    assert message == "The handler can't be overridden in a request"


def test_the_model_is_listed_and_described(client: httpx.Client) -> None:
    found = client.get("/models").json()
    described = client.get("/models/tiny").json()

    assert found == {
        "models": [{"modelName": "tiny", "modelUrl": "tiny", "status": "READY"}]
    }
    assert described[0]["workflowName"] == "tiny"
    assert described[0]["models"][0]["status"] == "Healthy"
    error(client.get("/models/nope"), 404, "ModelNotFoundException")


def test_registered_adapters_and_their_files_are_never_shown_by_their_path(
    client: httpx.Client, shelf: Path
) -> None:
    register(client, "a", shelf / "x")

    for path in ("/adapters", "/adapters/a", "/v1/adapters", "/v1/models", "/models"):
        assert str(shelf.parent) not in client.get(path).text


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
