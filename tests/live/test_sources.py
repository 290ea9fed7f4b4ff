"""A whole server whose model lies on a hub and whose adapters lie in S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from huggingface_hub import constants
from msgspec.structs import replace

from hotswap import app
from hotswap.sources.model_source import fetched_model
from tests import tiny
from tests.faulty_http import Faulty
from tests.live.vllm.routes import LOAD, UNLOAD, rows
from tests.local_hub import LocalHub
from tests.local_s3 import LocalS3, local_s3
from tests.servers import Live, settings, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # PEFT's, while it makes adapters
]
PIRATE, TIGER = "hf://org/pirate@main", "hf://org/tiger"


def files_of(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()}


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    root = tmp_path_factory.mktemp("made")
    return [
        files_of(tiny.save_adapter(root / str(n), "llama", n, strength=1.5, r=2))
        for n in range(4)
    ]


@pytest.fixture(scope="module")
def hub(model_folder: Path, adapters: list[dict[str, bytes]]) -> Iterator[LocalHub]:
    hub = LocalHub()
    hub.put("org/tiny", files_of(model_folder))
    hub.put("org/pirate", adapters[2])
    hub.put("org/tiger", adapters[3])
    with (
        Faulty(hub.answer).running() as server,
        pytest.MonkeyPatch.context() as patched,
    ):
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        patched.setattr(constants, "ENDPOINT", server.url)
        patched.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


@pytest.fixture(scope="module")
def s3(adapters: list[dict[str, bytes]]) -> Iterator[LocalS3]:
    with local_s3() as server:
        server.put("adapters/one", adapters[0])
        yield server


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patched:
        root = tmp_path_factory.mktemp("cache")
        patched.setenv("XDG_CACHE_HOME", str(root))
        fetched_model.cache_clear()
        yield root
        fetched_model.cache_clear()


@contextmanager
def serving(folder: str) -> Iterator[httpx.Client]:
    """Of a folder of the bucket."""
    config = settings(
        Path("model"),
        Path("directory"),
        adapters={
            "directory": f"s3://bucket/{folder}",
            "sources": ["hf://org/pirate", "hf://org/tiger"],
            "source_poll_s": 0.1,
        },
    )
    model = replace(config.model, path="hf://org/tiny")
    with (
        Live(app.build(replace(config, model=model))) as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client(hub: LocalHub, s3: LocalS3, cache: Path) -> Iterator[httpx.Client]:
    with serving("adapters") as client:
        yield client


def text(client: httpx.Client, adapter: str) -> str:
    body = {"model": adapter, "prompt": "Hello", "max_tokens": 8, "temperature": 0}
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


def test_the_model_has_the_name_of_its_repository(client: httpx.Client) -> None:
    assert client.get("/v1/models").json()["data"][0]["id"] == "tiny"


def test_the_folders_of_a_bucket_are_adapters(client: httpx.Client) -> None:
    wait_until(lambda: "one" in rows(client))

    assert text(client, "one") != text(client, "tiny")
    assert client.get("/adapters/one").json()["src"] == "one"


def test_a_folder_that_changes_and_goes_in_the_bucket_does_so_here(
    client: httpx.Client, s3: LocalS3, adapters: list[dict[str, bytes]]
) -> None:
    s3.put("adapters/two", adapters[0])
    wait_until(lambda: rows(client).get("two", {}).get("state") == "ready")
    before = rows(client)["two"]["generation"]

    s3.put("adapters/two", adapters[1])
    wait_until(lambda: rows(client)["two"]["generation"] != before)

    s3.remove("adapters/two")
    wait_until(lambda: "two" not in rows(client))


def test_a_bucket_that_cannot_be_listed_retires_nobody(
    client: httpx.Client, s3: LocalS3
) -> None:
    s3.faults.statuses["list-type"] = 403
    wait_until(lambda: "trouble" in client.get("/health/ready").text)
    asked = len(s3.asked)
    wait_until(lambda: len(s3.asked) > asked + 5)

    assert text(client, "one")
    s3.faults.statuses.clear()
    wait_until(lambda: "bucket" not in client.get("/health/ready").text)


def test_an_adapter_of_the_hub_is_registered_in_every_shape(
    client: httpx.Client,
) -> None:
    added = client.post("/adapters", params={"name": "a", "src": PIRATE})
    assert added.status_code == 200, added.text
    body = {"lora_name": "b", "lora_path": TIGER}
    assert client.post(LOAD, json=body).status_code == 200

    assert client.get("/adapters/a").json()["src"] == PIRATE
    assert len({text(client, name) for name in ("a", "b", "one", "tiny")}) == 4
    checked = client.post("/v1/adapters/validate", json={"src": PIRATE}).json()
    assert checked["ok"]
    assert checked["generation"] == rows(client)["a"]["generation"]
    client.post(UNLOAD, json={"lora_name": "b"})


def test_what_the_operator_does_not_name_is_forbidden(client: httpx.Client) -> None:
    for src in ("hf://org/tiny", "s3://bucket/adapters/one", "https://host/x.tar.gz"):
        answer = client.post("/adapters", params={"name": "x", "src": src})
        assert answer.status_code == 403
        assert "`sources` under [adapters]" in answer.json()["message"]


def test_what_a_place_refuses_has_its_code(client: httpx.Client, hub: LocalHub) -> None:
    params = {"name": "x", "src": "hf://org/pirate@no"}
    answer = client.post("/adapters", params=params)

    assert answer.status_code == 424
    assert answer.json()["refusal"] == "no_source"
    body = {"lora_name": "x", "lora_path": "hf://org/tiger@no"}
    assert client.post(LOAD, json=body).status_code == 404


def test_after_a_restart_all_is_there_without_hub_and_s3(
    hub: LocalHub, s3: LocalS3, cache: Path, adapters: list[dict[str, bytes]]
) -> None:
    s3.put("others/one", adapters[1])
    with serving("others") as client:
        params = {"name": "kept", "src": TIGER}
        assert client.post("/adapters", params=params).status_code == 200
        told = {name: text(client, name) for name in ("kept", "one", "tiny")}
    s3.faults.statuses["/"] = 503
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(constants, "HF_HUB_OFFLINE", True)
        fetched_model.cache_clear()
        with serving("others") as client:
            wait_until(lambda: {"kept", "one"} <= set(rows(client)))
            assert {name: text(client, name) for name in told} == told
    s3.faults.statuses.clear()
