"""A running server follows its adapters directory; nobody is answered by another."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from hotswap.adapters.file_names import WEIGHTS_FILE
from tests import tiny
from tests.servers import Live, settings, wait_until

PROMPT = {"prompt": "Hello, world", "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three adapters, `x`, `y` and `z`, that differ in their weights alone."""
    root = tmp_path_factory.mktemp("kinds")
    for seed, name in enumerate("xyz"):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5)
    return root


@pytest.fixture
def directory(tmp_path: Path, kinds: Path) -> Path:
    """The watched directory; `one` is there from the start."""
    shutil.copytree(kinds / "x", tmp_path / "adapters" / "one")
    return tmp_path / "adapters"


@pytest.fixture
def client(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    # A short wait, so that a newcomer is served in the middle of an old stream.
    built = app.build(settings(model_folder, directory, patience_s=0.05))
    with (
        Live(built) as server,
        server.client() as client,
    ):
        wait_until(lambda: "one" in listed(client))
        yield client


def listed(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """All adapters by name, as the server tells."""
    return {each["name"]: each for each in client.get("/v1/adapters").json()["data"]}


def has_read(client: httpx.Client, name: str) -> bool:
    """Whether the folder was found, and is served or refused."""
    return bool(listed(client).get(name, {}).get("state", "loading") != "loading")


def ask(client: httpx.Client, adapter: str, **fields: Any) -> httpx.Response:
    body = {**PROMPT, "max_tokens": 12, "adapter": adapter, **fields}
    return client.post("/v1/completions", json=body)


def text(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


def drop(client: httpx.Client, folder: Path, directory: Path, name: str) -> None:
    """Copy a folder in, and wait until the server has it."""
    shutil.copytree(folder, directory / name)
    wait_until(lambda: listed(client).get(name, {}).get("state") == "ready")


def test_a_dropped_folder_is_served_without_a_restart(
    client: httpx.Client, directory: Path, kinds: Path
) -> None:
    before = ask(client, "two")

    drop(client, kinds / "y", directory, "two")
    after = ask(client, "two")

    assert before.status_code == 404
    assert after.headers["x-hotswap-adapter"] == "two"
    generation = listed(client)["two"]["generation"]
    assert after.headers["x-hotswap-generation"] == generation
    assert text(after) not in (text(ask(client, "one")), text(ask(client, "base")))
    models = [card["id"] for card in client.get("/v1/models").json()["data"]]
    assert models == ["tiny", "one", "two"]


def test_a_removed_folder_is_not_found_and_the_others_are_served(
    client: httpx.Client, directory: Path, kinds: Path
) -> None:
    drop(client, kinds / "y", directory, "two")

    shutil.rmtree(directory / "one")
    wait_until(lambda: "one" not in listed(client))

    gone = ask(client, "one")
    assert gone.status_code == 404
    assert "`one`" in gone.json()["error"]["message"]
    assert ask(client, "two").status_code == 200


@pytest.mark.slow
def test_a_changed_folder_serves_new_requests_while_an_old_stream_ends_on_the_old(
    client: httpx.Client, directory: Path, kinds: Path
) -> None:
    drop(client, kinds / "y", directory, "twin")  # what `one` is going to be
    old, new = (
        listed(client)["one"]["generation"],
        listed(client)["twin"]["generation"],
    )
    whole = text(ask(client, "one", max_tokens=480))
    body = {**PROMPT, "max_tokens": 480, "adapter": "one", "n": 14, "stream": True}

    with client.stream("POST", "/v1/completions", json=body) as stream:
        lines = stream.iter_lines()
        read = [next(lines)]
        shutil.copy(kinds / "y" / WEIGHTS_FILE, directory / "spare")
        os.replace(directory / "spare", directory / "one" / WEIGHTS_FILE)
        wait_until(lambda: listed(client)["one"]["generation"] == new)
        still_live = client.get("/v1/status").json()["live"]
        answer = ask(client, "one", max_tokens=4)
        read += lines

    assert stream.headers["x-hotswap-generation"] == old
    assert answer.headers["x-hotswap-generation"] == new
    assert text(answer) == text(ask(client, "twin", max_tokens=4))
    assert still_live, "the stream was over before the change: nothing is shown"
    copies = [""] * 14
    for line in read:
        if line.startswith("data: {"):
            (choice,) = json.loads(line.removeprefix("data: "))["choices"]
            copies[choice["index"]] += choice["text"]
    assert copies == [whole] * 14


def test_a_stream_of_two_copies_is_answered(client: httpx.Client) -> None:
    answer = ask(client, "one", n=2, stream=True)

    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.slow
def test_a_removed_adapter_still_finishes_what_it_began(
    client: httpx.Client, directory: Path
) -> None:
    whole = text(ask(client, "one", max_tokens=480))
    body = {**PROMPT, "max_tokens": 480, "adapter": "one", "stream": True}

    with client.stream("POST", "/v1/completions", json=body) as stream:
        lines = stream.iter_lines()
        read = [next(lines)]
        shutil.rmtree(directory / "one")
        wait_until(lambda: "one" not in listed(client))
        read += lines

    pieces = [json.loads(line[6:]) for line in read if line.startswith("data: {")]
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == whole


def test_a_broken_folder_is_listed_with_its_reason_and_the_others_are_served(
    client: httpx.Client, directory: Path, kinds: Path
) -> None:
    shutil.copytree(kinds / "y", directory / ".two")
    os.truncate(directory / ".two" / WEIGHTS_FILE, 100)

    (directory / ".two").rename(directory / "two")
    wait_until(lambda: has_read(client, "two"))

    two = listed(client)["two"]
    assert (two["state"], two["generation"]) == ("failed", None)
    assert WEIGHTS_FILE in two["reason"]
    assert client.get("/v1/adapters/two").json() == two
    refused = ask(client, "two")
    assert refused.status_code == 404
    assert two["reason"] in refused.json()["error"]["message"]
    assert ask(client, "one").status_code == 200


@pytest.mark.slow
def test_a_broken_change_is_listed_while_the_old_generation_is_served(
    client: httpx.Client, directory: Path
) -> None:
    old = listed(client)["one"]

    os.truncate(directory / "one" / WEIGHTS_FILE, 100)
    wait_until(lambda: listed(client)["one"]["reason"] is not None)

    now = listed(client)["one"]
    assert (now["state"], now["generation"]) == ("ready", old["generation"])
    answer = ask(client, "one")
    assert answer.status_code == 200
    assert answer.headers["x-hotswap-generation"] == old["generation"]


def test_two_names_with_identical_files_share_a_generation(
    client: httpx.Client, directory: Path, kinds: Path
) -> None:
    drop(client, kinds / "x", directory, "same")

    first, second = ask(client, "one"), ask(client, "same")
    shutil.rmtree(directory / "one")
    wait_until(lambda: "one" not in listed(client))
    third = ask(client, "same")

    generations = [r.headers["x-hotswap-generation"] for r in (first, second, third)]
    assert len(set(generations)) == 1
    assert second.headers["x-hotswap-adapter"] == "same"
    assert text(first) == text(second) == text(third)


@pytest.mark.parametrize("name", ["base", "日本", "two words", "a:b", "line\nbreak"])
def test_an_adapter_listed_as_ready_is_served_under_its_name_whatever_it_is(
    name: str, client: httpx.Client, directory: Path, kinds: Path
) -> None:
    shutil.copytree(kinds / "y", directory / name)
    wait_until(lambda: has_read(client, name))
    found = listed(client)[name]

    answer = ask(client, name)

    if found["state"] == "ready":
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-hotswap-generation"] == found["generation"]
    else:
        assert found["reason"]
