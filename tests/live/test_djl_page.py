"""The calls of DJL's Adapters page as they stand there, answered as PEFT answers.

`docs/djl.md` has every sentence of that page beside the test that holds it; here are
those that no other test is about.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from peft import PeftModel

from hotswap import app, config
from hotswap.echo import app as echo
from tests import tiny
from tests.oracle import said_by
from tests.servers import Live, settings

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's, while it makes adapters

NAMES = ("adapter_1", "adapter_2")
PROMPT = "How is the weather"
BODY: dict[str, Any] = {"inputs": [PROMPT], "parameters": {"max_new_tokens": 25}}
HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
# In every call of the page; with the name of the model that is served.
TARGET = {"X-Amzn-SageMaker-Target-Model": "tiny.tar.gz"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(NAMES):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5)
    return root


@pytest.fixture(scope="module")
def client(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    """Asked as soon as it listens."""
    with (
        Live(app.build(settings(model_folder, directory))) as server,
        server.client() as client,
    ):
        yield client


@pytest.fixture(scope="module")
def wanted(directory: Path) -> dict[str, str]:
    """What PEFT says by adapter; "" is the bare model."""
    said = {"": said_by(tiny.model("llama"), PROMPT, 25)}
    for name in NAMES:
        adapted = PeftModel.from_pretrained(tiny.model("llama"), directory / name)
        said[name] = said_by(adapted.eval(), PROMPT, 25)
    assert len(set(said.values())) == 3
    return said


def texts(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [each["generated_text"] for each in response.json()]


def test_what_lies_in_the_directory_at_the_start_is_served_at_once(
    client: httpx.Client, wanted: dict[str, str]
) -> None:
    listed = client.get("/models/tiny/adapters").json()["adapters"]

    assert [each["name"] for each in listed] == list(NAMES)
    for name in NAMES:
        answer = client.post("/invocations", params={"adapter": name}, json=BODY)
        assert texts(answer) == [wanted[name]]


@pytest.mark.parametrize(
    "named",
    [
        {"json": {**BODY, "adapters": ["adapter_1"]}},
        {"params": {"adapter": "adapter_1"}},
        {"headers": {HEADER: "adapter_1"}},
    ],
    ids=["body", "query", "header"],
)
def test_each_technique_of_the_page_gets_the_adapters_answer(
    named: dict[str, Any], client: httpx.Client, wanted: dict[str, str]
) -> None:
    headers = {**TARGET, **named.get("headers", {})}

    answer = client.post("/invocations", **{"json": BODY, **named, "headers": headers})

    assert texts(answer) == [wanted["adapter_1"]]


def test_a_list_has_an_adapter_for_each_input_and_the_base_for_an_empty_name(
    client: httpx.Client, wanted: dict[str, str]
) -> None:
    adapters = ["adapter_2", "", "adapter_1", "adapter_2"]
    body = {**BODY, "inputs": [PROMPT] * len(adapters), "adapters": adapters}

    assert texts(client.post("/invocations", json=body)) == [
        wanted[name] for name in adapters
    ]


def test_without_an_adapter_the_base_model_answers(
    client: httpx.Client, wanted: dict[str, str]
) -> None:
    answer = client.post("/invocations", json=BODY, headers=TARGET)

    assert texts(answer) == [wanted[""]]
    assert answer.headers["x-hotswap-adapter"] == "base"


def test_a_page_of_the_list_has_a_hundred_adapters_unless_fewer_are_asked_for(
    directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(directory / "adapter_1", tmp_path / ".shelf")
    for number in range(101):
        (tmp_path / f"a{number:03}").symlink_to(".shelf")
    told: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(tmp_path)},
    }

    with Live(echo.build(config.load(None, told))) as server, server.client() as asked:
        first = asked.get("/adapters").json()
        rest = asked.get("/adapters?next_page_token=100").json()
        five = asked.get("/adapters?limit=5&next_page_token=0").json()

    assert (len(first["adapters"]), first["nextPageToken"]) == (100, "100")
    assert [each["name"] for each in rest["adapters"]] == ["a100"]
    assert (len(five["adapters"]), five["nextPageToken"]) == (5, "5")
