"""DJL's adapter workflows: one name under /predictions for each adapter."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from hotswap.api.shared.endpoints import ENDPOINTS_FILE
from hotswap.errors import StartFailed
from tests import tiny
from tests.servers import Live, settings, wait_until

BODY = {"inputs": "Hello", "parameters": {"max_new_tokens": 6}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folders")
    for seed, name in enumerate("xy"):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5, r=2)
    return root


@pytest.fixture
def directory(tmp_path: Path, folders: Path) -> Path:
    """Watched; `x` is there. `y` lies in `.shelf`, which is not watched."""
    shutil.copytree(folders / "x", tmp_path / "adapters" / "x")
    shutil.copytree(folders / "y", tmp_path / "adapters" / ".shelf" / "y")
    return tmp_path / "adapters"


@contextmanager
def serve(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    with (
        Live(app.build(settings(model_folder, directory))) as server,
        server.client() as client,
    ):
        wait_until(lambda: client.get("/adapters/x").status_code == 200)
        yield client


@pytest.fixture
def client(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    with serve(model_folder, directory) as client:
        yield client


def definition(name: str, adapter: str, src: str, **changed: Any) -> dict[str, Any]:
    """A workflow.json as DJL's tests have it."""
    return {
        "name": name,
        "version": "0.1",
        "models": {"m": "src/test/resources/tiny"},
        "configs": {"adapters": {adapter: {"model": "m", "src": src}}},
        "workflow": {"out": ["adapter", adapter, "in"]},
        **changed,
    }


def text(client: httpx.Client, endpoint: str, **query: str) -> str:
    response = client.post(f"/predictions/{endpoint}", params=query, json=BODY)
    assert response.status_code == 200, response.text
    return str(response.json()["generated_text"])


def names(client: httpx.Client) -> list[str]:
    return [
        each["workflowName"] for each in client.get("/workflows").json()["workflows"]
    ]


def adapters(client: httpx.Client) -> list[str]:
    return [each["name"] for each in client.get("/adapters").json()["adapters"]]


def test_each_workflow_answers_as_its_adapter(client: httpx.Client) -> None:
    made = client.post("/workflows", json=definition("w1", "y", ".shelf/y"))
    other = client.post("/workflows", json=definition("w2", "x", "x"))

    assert made.json() == {"status": 'Workflow "w1" registered.'}
    assert other.status_code == 200, other.text
    assert text(client, "w1") == text(client, "tiny", adapter="y")
    assert text(client, "w2") == text(client, "tiny", adapter="x")
    assert len({text(client, "w1"), text(client, "w2"), text(client, "tiny")}) == 3
    assert names(client) == ["w1", "w2"]
    (described,) = client.get("/workflows/w1").json()
    assert (described["workflowName"], described["version"]) == ("w1", "0.1")
    assert described["adapter"] == "y"
    assert described["models"][0]["modelName"] == "tiny"


def test_a_template_makes_a_workflow_with_the_adapters_name(
    client: httpx.Client,
) -> None:
    query = {"template": "adapter", "adapter": "y", "url": ".shelf/y", "model": "tiny"}

    made = client.post("/workflows", params=query)
    of_a_folder = client.post("/workflows?template=adapter&adapter=x")

    assert made.json() == {"status": 'Workflow "y" registered.'}
    assert of_a_folder.status_code == 200, of_a_folder.text
    assert text(client, "y") == text(client, "tiny", adapter="y")
    assert text(client, "x") == text(client, "tiny", adapter="x")


def test_an_adapter_goes_with_the_last_workflow_that_brought_it(
    client: httpx.Client,
) -> None:
    client.post("/workflows", json=definition("w1", "y", ".shelf/y"))
    client.post("/workflows", json=definition("w2", "y", ".shelf/y"))
    client.post("/workflows", json=definition("w3", "x", "x"))

    gone = client.delete("/workflows/w1")
    after_one = (adapters(client), text(client, "w2"))
    client.delete("/workflows/w2")
    client.delete("/workflows/w3")

    assert gone.json() == {"status": 'Model or workflow "w1" unregistered'}
    assert client.post("/predictions/w1", json=BODY).status_code == 404
    assert after_one[0] == ["x", "y"]
    assert adapters(client) == ["x"]  # that was there before
    assert names(client) == []


@pytest.mark.parametrize(
    "named",
    [
        {"params": {"adapter": "x"}},
        {"headers": {"x-amzn-sagemaker-adapter-identifier": "x"}},
        {"json": {**BODY, "adapter": "x"}},
        {"json": {**BODY, "adapters": ["x"]}},
        {"json": {**BODY, "model": "x"}},
        {"json": {**BODY, "adapter": ""}},
    ],
)
def test_another_adapter_in_the_request_is_refused(
    named: dict[str, Any], client: httpx.Client
) -> None:
    client.post("/workflows", json=definition("w1", "y", ".shelf/y"))

    refused = client.post("/predictions/w1", **{"json": BODY, **named})
    same = client.post(
        "/predictions/w1", json={**BODY, "adapter": "y", "model": "tiny"}
    )

    # DJL's code for a list that does not fit
    code = 424 if "adapters" in named.get("json", {}) else 400
    assert refused.status_code == code, refused.text
    assert "`w1` is the adapter `y`" in refused.json()["message"]
    assert same.json()["generated_text"] == text(client, "w1")


BAD: dict[str, tuple[Any, int]] = {
    "no definition": (None, 400),
    "no object": ([], 400),
    "no name": (definition("", "y", ".shelf/y"), 400),
    "a hostile name": (definition("../w", "y", ".shelf/y"), 400),
    "the model's name": (definition("tiny", "y", ".shelf/y"), 409),
    "another model": (definition("w", "y", ".shelf/y", models={"m": "llama"}), 400),
    "no such model": (definition("w", "y", ".shelf/y", models={}), 400),
    "no such adapter": (definition("w", "y", ".shelf/none"), 424),
    "a forbidden source": (definition("w", "y", "/etc"), 403),
    "another source": (definition("w", "x", ".shelf/y"), 409),
    "more than one step": (
        definition("w", "y", ".shelf/y", workflow={"out": ["model", "y", "in"]}),
        400,
    ),
    "a function": (
        definition("w", "y", ".shelf/y", functions={"f": "my.Function"}),
        400,
    ),
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=list(BAD))
def test_what_is_no_adapter_workflow_changes_nothing(
    body: Any, code: int, client: httpx.Client
) -> None:
    content = b"" if body is None else json.dumps(body).encode()

    refused = client.post("/workflows", content=content)

    assert refused.status_code == code, refused.text
    assert names(client) == []
    assert adapters(client) == ["x"]


def test_djls_words_for_what_is_missing(client: httpx.Client) -> None:
    neither = client.post("/workflows")
    unknown = client.post("/workflows?template=x")
    fetched = client.post("/workflows?url=file:///etc/passwd")
    client.post("/workflows?template=adapter&adapter=x")
    twice = client.post("/workflows?template=adapter&adapter=x")

    assert neither.json()["message"] == "Either parameter url or template is required."
    assert (unknown.status_code, unknown.json()["message"]) == (
        409,
        "The workflow template x could not be found",
    )
    assert fetched.status_code == 400
    assert twice.status_code == 409
    for method, path in (("get", "/workflows/no"), ("delete", "/workflows/no")):
        missing = client.request(method, path)
        assert missing.status_code == 404
        assert missing.json()["type"] == "ModelNotFoundException"


def test_workflows_and_their_adapters_are_there_after_a_restart(
    model_folder: Path, directory: Path
) -> None:
    with serve(model_folder, directory) as client:
        client.post("/workflows", json=definition("w1", "y", ".shelf/y"))
        before = text(client, "w1")

    with serve(model_folder, directory) as client:
        assert text(client, "w1") == before
        assert client.delete("/workflows/w1").status_code == 200
        assert adapters(client) == ["x"]


def test_a_file_of_endpoints_that_is_broken_ends_the_start(
    model_folder: Path, directory: Path
) -> None:
    (directory / ENDPOINTS_FILE).write_text("{")

    with pytest.raises(StartFailed, match=ENDPOINTS_FILE):
        app.build(settings(model_folder, directory))
