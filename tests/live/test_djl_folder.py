"""A folder of DJL Serving's is served as it is, over HTTP."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app, config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.djl_config.properties_file import PROPERTIES_FILE
from hotswap.echo import app as echo
from tests import tiny
from tests.oracle import said_by
from tests.servers import Live, free_port, spawned, wait_until

PROPERTIES = """\
# As a notebook of DJL's writes it
engine=Python
option.model_id=echo
option.enable_lora=true
option.max_loras=2
option.max_model_len=64
option.tensor_parallel_degree=4
option.rolling_batch=vllm
"""


def adapter(folder: Path) -> None:
    """As far as it is looked at without a model."""
    folder.mkdir(parents=True)
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    (folder / CONFIG_FILE).write_text('{"peft_type": "LORA"}')


def written(folder: Path) -> Path:
    """The folder, with one adapter that is watched and one that is not."""
    adapter(folder / "adapters" / "pirate")
    adapter(folder / "others" / "terse")
    (folder / PROPERTIES_FILE).write_text(PROPERTIES)
    return folder


def configured(folder: Path) -> config.Config:
    return config.load(None, {"model": {"path": str(folder)}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("models") / "my-llama")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with Live(echo.build(configured(folder))) as live, live.client() as client:
        wait_until(lambda: names(client) == ["pirate"])
        yield client


def names(client: httpx.Client) -> list[str]:
    found = client.get("/models/my_llama/adapters").json()["adapters"]
    return [each["name"] for each in found]


def test_the_model_answers_to_djls_name(client: httpx.Client) -> None:
    body = {"inputs": "Ahoy", "parameters": {"max_new_tokens": 8}}

    for path in ("/predictions/my_llama", "/models/my_llama/invoke", "/invocations"):
        assert client.post(path, json=body).json() == {"generated_text": "Ahoy"}
    assert client.get("/ping").json() == {"my_llama": {"status": "Healthy"}}


def test_its_adapters_answer_in_each_way_to_name_them(client: httpx.Client) -> None:
    body = {"inputs": "Ahoy", "parameters": {"max_new_tokens": 8}}
    header = {"X-Amzn-SageMaker-Adapter-Identifier": "pirate"}

    answers = [
        client.post("/invocations", json={**body, "adapters": "pirate"}),
        client.post("/invocations", json=body, params={"adapter": "pirate"}),
        client.post("/invocations", json=body, headers=header),
    ]

    assert [each.headers["x-hotswap-adapter"] for each in answers] == ["pirate"] * 3


def test_a_folder_that_comes_later_is_an_adapter(
    client: httpx.Client, folder: Path
) -> None:
    adapter(folder / "adapters" / "later")
    wait_until(lambda: "later" in names(client))

    shutil.rmtree(folder / "adapters" / "later")
    wait_until(lambda: "later" not in names(client))


def test_an_adapter_of_the_folder_can_be_registered(
    client: httpx.Client, folder: Path
) -> None:
    source = {"name": "terse", "src": str(folder / "others" / "terse")}

    assert client.post("/models/my_llama/adapters", params=source).status_code == 200
    assert "terse" in names(client)
    assert client.delete("/models/my_llama/adapters/terse").status_code == 200


def test_no_prompt_is_longer_than_max_model_len(client: httpx.Client) -> None:
    (card, *_) = client.get("/v1/models").json()["data"]
    long = {"inputs": "x" * 60, "parameters": {"max_new_tokens": 8}}

    answer = client.post("/invocations", json=long)

    assert card["max_model_len"] == 64
    assert answer.status_code == 400
    assert "at most 64" in answer.text


def test_without_lora_there_are_no_adapters(tmp_path: Path) -> None:
    folder = written(tmp_path / "llama")
    (folder / PROPERTIES_FILE).write_text(f"{PROPERTIES}\noption.enable_lora=false")

    with Live(echo.build(configured(folder))) as live, live.client() as client:
        answer = client.get("/models/llama/adapters")

    assert answer.status_code == 400
    assert "LoRA is not enabled" in answer.text


def test_a_model_beside_its_properties_answers_as_transformers_does(
    model_folder: Path, adapter_folders: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(model_folder, folder)
    shutil.copytree(adapter_folders / "a1", folder / "adapters" / "a1")
    (folder / PROPERTIES_FILE).write_text("engine=Python\noption.dtype=fp32")
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 8}}
    told: dict[str, dict[str, Any]] = {
        "model": {"path": str(folder), "device": "cpu"},
        "memory": {"slots": 2, "kv_tokens": 1024},
    }

    with (
        Live(app.build(config.load(None, told))) as live,
        live.client() as client,
    ):
        wait_until(lambda: "a1" in client.get("/models/tiny/adapters").text)
        base = client.post("/predictions/tiny", json=body).json()
        adapted = client.post("/predictions/tiny?adapter=a1", json=body).json()

    assert base["generated_text"] == said_by(tiny.model("llama"), "Hello", 8)
    assert adapted["generated_text"] != base["generated_text"]


def test_the_command_serves_what_lies_in_the_store_and_warns_once(
    folder: Path, tmp_path: Path
) -> None:
    store, port, log = tmp_path / "model", free_port(), tmp_path / "log"
    shutil.copytree(folder, store)
    command = ["env", f"SERVING_MODEL_STORE={store}", "OPTION_NO_SUCH=1"]
    command += ["OPTION_MAX_LORAS=7", sys.executable, "-m", "hotswap.cli"]
    command += ["serve", "--port", str(port)]

    with spawned(command, port, log):
        status = httpx.get(f"http://127.0.0.1:{port}/predictions/model")
        cards = httpx.get(f"http://127.0.0.1:{port}/v1/models").json()["data"]

    assert status.status_code == 405  # it is there, and wants a POST
    assert cards[0]["id"] == "model"
    (line,) = re.findall(r".*without effect here.*", log.read_text())
    assert "option.tensor_parallel_degree: one device serves" in line
    assert "OPTION_NO_SUCH: this server has no such option" in line
