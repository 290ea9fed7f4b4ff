"""vLLM's adapter routes: its bodies, its texts, its envelope."""

from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from hotswap import app
from tests.live.vllm.routes import LOAD, UNLOAD, ask, error, load, rows
from tests.servers import Live, settings, wait_until


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


def test_the_texts_of_errors_are_vllms(client: httpx.Client) -> None:
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
