"""Adapters are registered, updated, described, listed and unregistered, as in DJL."""

from pathlib import Path

import httpx
import pytest

from tests.live.djl_management.routes import (
    error,
    listed,
    names,
    predict,
    register,
    status,
)

ALIAS = "X-Amzn-SageMaker-Adapter-Alias"
FORMS = ["/adapters", "/models/tiny/adapters"]


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


def test_load_is_the_older_name_of_preload(client: httpx.Client, shelf: Path) -> None:
    made = register(client, "a", shelf / "x", load="false")
    lazy = client.get("/adapters/a").json()["preload"]
    updated = client.post("/adapters/a/update", params={"load": "true"})
    both = register(client, "b", shelf / "x", load="false", preload="true")

    assert status(made) == "Adapter a registered"
    assert lazy is False
    assert status(updated) == "Adapter a updated"
    assert client.get("/adapters/a").json()["preload"] is True
    assert "`load`" in error(both, 400, "BadRequestException")


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


def test_a_name_is_as_long_as_a_request_of_djls_can_say(
    client: httpx.Client, shelf: Path
) -> None:
    for name in ("n" * 3900, "Ä" * 600):
        made = register(client, name, shelf / "x")

        assert status(made) == f"Adapter {name} registered"
        assert predict(client, adapter=name) == predict(client, adapter="built-in")
        assert client.get(f"/adapters/{name}").json()["name"] == name
        assert name in names(client)
        assert client.delete(f"/adapters/{name}").status_code == 200
