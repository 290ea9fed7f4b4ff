"""Templates and tokenizers of adapters: whatever they do, nobody waits for them."""

import json
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap.adapters.file_names import TOKENIZER_FILE
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.templates import RENDERER
from tests import added, tiny
from tests.hotswap.test_tokenizer_pipeline import HOSTILE
from tests.live.lag import LAG_S, lag_while, lasting
from tests.servers import Live, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.filterwarnings("ignore"),  # PEFT's, while it makes adapters
]
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
ENDLESS = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
)
RECURSIVE = "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`plain`; `told`, with a good template of its own; some whose templates are bad;
    and two with tokenizers that panic, there at the start."""
    root = tmp_path_factory.mktemp("folders")
    plain = tiny.save_adapter(root / "plain", "llama", 1, strength=1.5, r=2)
    templates = {
        "told": "{{ messages[0].content }}!",
        # Fine when they are looked at
        **{
            f"endless{number}": "{% if messages[0].content == 'hi' %}"
            + ENDLESS
            + str(number)
            + "{% endif %}"
            for number in range(3)
        },
        "recursive": RECURSIVE,
    }
    for name, template in templates.items():
        shutil.copytree(plain, root / name)
        (root / name / "chat_template.jinja").write_text(template)
    shutil.copytree(plain, root / "sidecar")
    (root / "sidecar" / SIDECAR_FILE).write_text(f"chat_template = '{ENDLESS}'")
    for name in ("decoder", "unknown special token"):
        panicking(shutil.copytree(plain, root / name.split()[0]), name)
    return root


def panicking(folder: Path, how: str) -> Path:
    added.tokenizer().save_pretrained(folder)
    content = json.loads((folder / TOKENIZER_FILE).read_text())
    HOSTILE[how](content)
    (folder / TOKENIZER_FILE).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def server(model_folder: Path, directory: Path) -> Iterator[Live]:
    with lasting(model_folder, directory) as live:
        yield live
    assert not RENDERER.children, "a process outlives the server"


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def listed(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in client.get("/v1/adapters").json()["data"]}


def chat(client: httpx.Client, adapter: str) -> httpx.Response:
    body = {"messages": MESSAGES, "max_tokens": 2, "adapter": adapter}
    return client.post(CHAT, json=body)


def complete(client: httpx.Client, adapter: str) -> httpx.Response:
    body = {"prompt": "hi", "max_tokens": 2, "adapter": adapter}
    return client.post(COMPLETIONS, json=body)


def test_nobody_waits_for_templates_that_do_not_end(
    server: Live, client: httpx.Client
) -> None:
    names = ["endless0", "endless1", "endless2", "sidecar"]
    answers: list[httpx.Response] = []

    def ask(name: str) -> None:
        with server.client() as own:
            answers.append(chat(own, name))

    def all_at_once() -> None:
        threads = [threading.Thread(target=ask, args=(name,)) for name in names * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    waits: list[float] = []

    def meanwhile() -> None:
        while crowd.is_alive():
            start = time.monotonic()
            assert chat(client, "told").status_code == 200
            waits.append(time.monotonic() - start)

    crowd = threading.Thread(target=all_at_once)
    crowd.start()
    lag = lag_while(server, meanwhile)
    crowd.join()

    assert len(answers) == 3 * len(names)
    for answer in answers:
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["param"] == "messages"
        assert "adapter `" in error["message"]
        assert "the chat template says: it t" in error["message"]
    assert statistics.median(waits) < LAG_S
    assert max(waits) < 2  # a process more was started for it
    assert lag < 2 * LAG_S  # beside so many clients in this process
    assert complete(client, "endless0").status_code == 200


def test_a_recursive_template_is_the_requests_error(client: httpx.Client) -> None:
    answer = chat(client, "recursive")

    assert answer.status_code == 400
    assert "adapter `recursive`: the chat template says: RecursionError" in answer.text


def test_templates_are_tried_when_an_adapter_is_looked_at(
    client: httpx.Client, directory: Path
) -> None:
    rows = listed(client)
    checked = client.post("/v1/adapters/validate", json={"src": "recursive"}).json()

    for name in ("sidecar", "recursive"):
        assert "the chat template says" in rows[name]["warnings"][0]
    assert rows["told"]["warnings"] == rows["endless0"]["warnings"] == []
    assert checked["ok"]
    assert "RecursionError" in checked["warnings"][0]


def test_tokenizers_that_panic_refuse_their_adapters_and_the_watch_goes_on(
    client: httpx.Client, directory: Path
) -> None:
    later = panicking(
        shutil.copytree(directory / "plain", directory / ".later"), "decoder"
    ).rename(directory / "later")
    wait_until(lambda: listed(client).get("later", {}).get("state") == "failed")
    shutil.copytree(directory / "plain", directory / "last")
    wait_until(lambda: listed(client).get("last", {}).get("state") == "ready")

    rows = listed(client)
    for name in ("decoder", "unknown", later.name):
        assert rows[name]["state"] == "failed"
        assert TOKENIZER_FILE in rows[name]["reason"]
    assert complete(client, "last").status_code == 200
    assert complete(client, "decoder").status_code == 404
