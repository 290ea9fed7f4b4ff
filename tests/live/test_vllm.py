"""vLLM's adapter routes: its bodies, its texts, its envelope; and our own listing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from hotswap import app
from hotswap.adapters.checkpoint import WEIGHTS_FILE
from tests import tiny
from tests.conftest import Live, settings, wait_until

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Watched; `one` is there. Below `.shelf`, which is not: `x`, `y`, `cut`."""
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate("xy"):
        tiny.save_adapter(root / ".shelf" / name, "llama", seed, strength=1.5, r=2)
    shutil.copytree(root / ".shelf" / "x", root / "one")
    shutil.copytree(root / ".shelf" / "x", root / ".shelf" / "cut")
    os.truncate(root / ".shelf" / "cut" / WEIGHTS_FILE, 100)
    return root


@pytest.fixture(scope="module")
def client(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    with (
        Live(app.build(settings(model_folder, directory))) as server,
        server.client() as client,
    ):
        wait_until(lambda: "one" in rows(client))
        yield client


@pytest.fixture(autouse=True)
def unload_afterwards(client: httpx.Client) -> Iterator[None]:
    yield
    for name in rows(client):
        if name != "one":
            assert client.post(UNLOAD, json={"lora_name": name}).status_code == 200


def rows(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in client.get("/v1/adapters").json()["data"]}


def load(client: httpx.Client, name: str, path: str, **more: Any) -> httpx.Response:
    body = {"lora_name": name, "lora_path": path, **more}
    return client.post(LOAD, json=body)


def ask(client: httpx.Client, model: str) -> httpx.Response:
    body = {"model": model, "prompt": "Hello", "max_tokens": 6, "temperature": 0}
    return client.post("/v1/completions", json=body)


def error(response: httpx.Response, code: int, kind: str) -> str:
    assert response.status_code == code, response.text
    body = response.json()["error"]
    assert set(body) - {"refusal"} == {"message", "type", "param", "code"}
    assert (body["code"], body["type"]) == (code, kind)
    return str(body["message"])


def test_loaded_is_usable_and_unloaded_is_gone(client: httpx.Client) -> None:
    base = ask(client, "tiny").json()["choices"][0]["text"]

    loaded = load(client, "sql", ".shelf/x")
    answer = ask(client, "sql")
    unloaded = client.post(UNLOAD, json={"lora_name": "sql", "lora_int_id": None})
    gone = ask(client, "sql")

    assert loaded.text == "Success: LoRA adapter 'sql' added successfully."
    assert loaded.headers["content-type"].startswith("text/plain")
    assert answer.json()["choices"][0]["text"] != base
    assert answer.headers["x-hotswap-adapter"] == "sql"
    assert unloaded.text == "Success: LoRA adapter 'sql' removed successfully."
    assert error(gone, 404, "NotFoundError") == "The model `sql` does not exist."


def test_the_texts_of_refusals_are_vllms(client: httpx.Client) -> None:
    load(client, "sql", ".shelf/x")
    user = "InvalidUserInput"

    assert error(load(client, "", "x"), 400, user) == (
        "Both 'lora_name' and 'lora_path' must be provided."
    )
    assert error(client.post(LOAD, json={"lora_name": "a"}), 400, user) == (
        "Both 'lora_name' and 'lora_path' must be provided."
    )
    assert error(load(client, "tiny", ".shelf/x"), 400, user) == (
        "The lora adapter 'tiny' conflicts with a served base model."
    )
    assert error(load(client, "sql", ".shelf/y"), 400, user) == (
        "The lora adapter 'sql' has already been loaded. If you want to load the "
        "adapter in place, set 'load_inplace' to True."
    )
    assert error(client.post(UNLOAD, json={}), 400, user) == (
        "'lora_name' needs to be provided to unload a LoRA adapter."
    )
    assert error(
        client.post(UNLOAD, json={"lora_name": "no"}), 404, "NotFoundError"
    ) == ("The lora adapter 'no' cannot be found.")


@pytest.mark.parametrize(
    ("path", "code", "kind"),
    [
        (".shelf/none", 404, "NotFoundError"),
        (".shelf", 404, "NotFoundError"),  # it has no adapter_config.json
        (".shelf/cut", 422, "UnprocessableEntityError"),
        ("/etc", 403, "PermissionDeniedError"),
        ("../../etc", 403, "PermissionDeniedError"),
        ("s3://bucket/x", 400, "BadRequestError"),
        ("file:///etc", 400, "BadRequestError"),
    ],
)
def test_a_path_that_cannot_be_served_is_the_clients_error(
    path: str, code: int, kind: str, client: httpx.Client
) -> None:
    refused = load(client, "sql", path)

    error(refused, code, kind)
    assert "sql" not in rows(client)
    if code == 422:
        assert refused.json()["error"]["refusal"] == "bad_weights"


@pytest.mark.parametrize(
    "body",
    [
        {"lora_name": "a", "lora_path": ".shelf/x", "load_in_place": True},
        {"lora_name": "a", "lora_path": ".shelf/x", "load_inplace": "yes"},
        {"lora_name": "a", "lora_path": ".shelf/x", "is_3d_lora_weight": True},
        {"lora_name": 5, "lora_path": ".shelf/x"},
        [],
    ],
)
def test_a_body_that_is_not_understood_loads_nothing(
    body: object, client: httpx.Client
) -> None:
    error(client.post(LOAD, json=body), 400, "InvalidUserInput")

    assert set(rows(client)) == {"one"}


def test_a_load_in_place_compares_the_generation_first(client: httpx.Client) -> None:
    load(client, "sql", ".shelf/x")
    old = rows(client)["sql"]["generation"]
    before = ask(client, "sql").json()["choices"][0]["text"]

    late = load(
        client, "sql", ".shelf/y", load_inplace=True, expected_generation="f" * 16
    )
    unchanged = rows(client)["sql"]["generation"]
    swapped = load(
        client, "sql", ".shelf/y", load_inplace=True, expected_generation=old
    )
    answer = ask(client, "sql")

    assert old in error(late, 409, "ConflictError")
    assert unchanged == old
    assert swapped.status_code == 200, swapped.text
    assert answer.headers["x-hotswap-generation"] == rows(client)["sql"]["generation"]
    assert rows(client)["sql"]["generation"] != old
    assert answer.json()["choices"][0]["text"] != before


def test_models_are_listed_as_vllm_lists_them(client: httpx.Client) -> None:
    load(client, "sql", ".shelf/x")
    official = OpenAI(base_url=f"{client.base_url}/v1", api_key="none")

    cards = {card.id: card.model_dump() for card in official.models.list()}

    assert list(cards) == ["tiny", "one", "sql"]
    assert (cards["tiny"]["parent"], cards["tiny"]["root"]) == (None, "tiny")
    assert cards["tiny"]["max_model_len"] == 512
    assert (cards["sql"]["parent"], cards["sql"]["root"]) == ("tiny", ".shelf/x")
    assert cards["sql"]["max_model_len"] is None
    assert cards["sql"]["permission"][0]["object"] == "model_permission"
    assert cards["one"]["root"] == "one"


def test_paths_are_shown_if_the_configuration_says_so(
    model_folder: Path, directory: Path
) -> None:
    configured = settings(model_folder, directory, server={"show_paths": True})

    with (
        Live(app.build(configured)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        wait_until(lambda: "one" in rows(client))
        cards = client.get("/v1/models").json()["data"]

    assert [card["root"] for card in cards] == [
        str(model_folder),
        str(directory / "one"),
    ]


def test_our_listing_tells_all_that_is_known(client: httpx.Client) -> None:
    load(client, "sql", ".shelf/x")
    before = rows(client)["sql"]

    ask(client, "sql")
    wait_until(lambda: rows(client)["sql"]["leases"] == 0)
    after = client.get("/v1/adapters/sql").json()

    assert before["residency"] in ("host", "slot", "resident")  # as `one` has its files
    assert after["requests"] == before["requests"] + 1
    assert (after["state"], after["reason"]) == ("ready", None)
    assert (after["rank"], after["pinned"], after["preload"]) == (2, False, True)
    assert after["modules"] > 0
    assert after["bytes"] > 0
    assert after["source"] == ".shelf/x"
    assert client.get("/v1/adapters/none").status_code == 404


def test_pinned_and_unpinned(client: httpx.Client) -> None:
    load(client, "sql", ".shelf/x")

    pinned = client.post("/v1/adapters/sql/pin").json()
    unpinned = client.post("/v1/adapters/sql/unpin").json()
    missing = client.post("/v1/adapters/none/pin")

    assert (pinned["name"], pinned["pinned"]) == ("sql", True)
    assert unpinned["pinned"] is False
    error(missing, 404, "NotFoundError")


def test_a_folder_is_checked_without_being_served(client: httpx.Client) -> None:
    def check(src: str) -> httpx.Response:
        return client.post("/v1/adapters/validate", json={"src": src})

    good = check(".shelf/x").json()

    assert good["ok"] is True
    assert good["generation"] == rows(client)["one"]["generation"]
    assert (good["rank"], good["bytes"]) == (2, rows(client)["one"]["bytes"])
    bad = check(".shelf/cut").json()
    assert (bad["ok"], bad["code"]) == (False, "bad_weights")
    assert WEIGHTS_FILE in bad["reason"]
    listed = rows(client)["one"]
    assert " ".join(listed) == (
        "name state generation reason rank modules bytes can_merge can_mix merge_loss "
        "note warnings residency pinned preload alias aliases source leases requests"
    )
    both = good.keys() & listed.keys()
    assert {key: listed[key] for key in both} == {key: good[key] for key in both}
    assert len(both) == 10
    assert check("none").json()["code"] == "no_source"
    assert check("/etc").status_code == 403
    assert check("s3://x/y").status_code == 400
    assert client.post("/v1/adapters/validate", json={"path": "x"}).status_code == 400
    assert set(rows(client)) == {"one"}
