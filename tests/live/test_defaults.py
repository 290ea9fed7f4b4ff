"""A folder's sidecar and the operator's hooks, as requests meet them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from hotswap.adapters.sidecar import SIDECAR_FILE
from tests import tiny
from tests.servers import Live, settings, wait_until

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
GREEDY = {"temperature": 0}
MESSAGES = [{"role": "user", "content": "Hello"}]
HOOKS = """
def preprocess(adapter, body):
    if adapter == "asked":
        if body.get("secret"):
            raise ValueError("no secrets here")
        return {**body, "max_tokens": 3} if "prompt" in body else {
            "inputs": body["question"], "parameters": {"max_new_tokens": 3}
        }
    return body

def postprocess(adapter):
    if adapter == "loud":
        return lambda text, is_last: text.upper() + ("!" if is_last else "")
    if adapter == "backwards":
        held = []
        def change(text, is_last):
            held.append(text)
            return "".join(held)[::-1] if is_last else ""
        return change
    if adapter == "faulty":
        return lambda text, is_last: 1 / (not is_last)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder")
    return tiny.save_adapter(root / "x", "llama", 1, strength=1.5, r=2)


def serve(model: Path, directory: Path, **sections: Any) -> Iterator[httpx.Client]:
    count = len(list(directory.iterdir()))
    with (
        Live(app.build(settings(model, directory, **sections))) as server,
        server.client() as client,
    ):
        wait_until(lambda: len(client.get("/adapters").json()["adapters"]) == count)
        yield client


@pytest.fixture(scope="module")
def client(
    model_folder: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The same weights as `plain` and, with sidecars, under other names."""
    directory = tmp_path_factory.mktemp("adapters")
    for name, sidecar in {
        "plain": None,
        "short": 'max_tokens = 3\ntemperature = 0\naliases = ["brief"]',
        "template": "chat_template = \"{{ messages[0]['content'] }}:\"",
        "broken": 'chat_template = "{{ messages[0].content | no_such_filter }}"',
        "escaping": "chat_template = \"{{ ''.__class__.__mro__ }}\"",
        "weak": "scale = 0.25",
    }.items():
        shutil.copytree(folder, directory / name)
        if sidecar is not None:
            (directory / name / SIDECAR_FILE).write_text(sidecar)
    yield from serve(model_folder, directory)


@pytest.fixture(scope="module")
def hooked(
    model_folder: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    work = tmp_path_factory.mktemp("hooked")
    (work / "own.py").write_text(HOOKS)
    for name in ("plain", "asked", "loud", "backwards", "faulty"):
        shutil.copytree(folder, work / "adapters" / name)
    module = {"module": str(work / "own.py")}
    yield from serve(model_folder, work / "adapters", hooks=module)


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def complete(client: httpx.Client, adapter: str, **body: Any) -> tuple[str, int]:
    """Text and number of tokens."""
    answer = post(client, COMPLETIONS, prompt="Hello", adapter=adapter, **body)
    return answer["choices"][0]["text"], answer["usage"]["completion_tokens"]


def invoke(client: httpx.Client, adapter: str, **parameters: Any) -> dict[str, Any]:
    given = {"details": True, **parameters}
    return post(
        client, "/invocations", inputs="Hello", adapter=adapter, parameters=given
    )


def test_a_sidecar_speaks_where_the_request_is_silent(client: httpx.Client) -> None:
    long, _ = complete(client, "plain", max_tokens=12, **GREEDY)

    text, tokens = complete(client, "short", ignore_eos=True)
    invoked = invoke(client, "short", ignore_eos_token=True)

    assert tokens == 3
    assert long.startswith(text)  # so it was greedy, which is no route's default
    assert invoked["details"]["generated_tokens"] == 3
    assert long.startswith(invoked["generated_text"])


def test_what_the_request_says_wins(client: httpx.Client) -> None:
    long = complete(client, "plain", max_tokens=12, **GREEDY)
    sampled = {"temperature": 2.0, "seed": 5, "max_tokens": 12}

    assert complete(client, "short", max_tokens=12) == long
    assert complete(client, "short", **sampled) == complete(client, "plain", **sampled)
    assert complete(client, "short", **sampled) != long
    assert (
        invoke(client, "short", max_new_tokens=12)["generated_text"]
        == invoke(client, "plain", max_new_tokens=12)["generated_text"]
    )


def test_stop_strings_of_a_sidecar_end_the_text(
    model_folder: Path, folder: Path, tmp_path: Path, client: httpx.Client
) -> None:
    whole, _ = complete(client, "plain", max_tokens=12, **GREEDY)
    at = next(n for n in range(2, len(whole)) if whole[n] not in whole[:n])
    shutil.copytree(folder, tmp_path / "adapters" / "stopped")
    stop = f"stop = [{json.dumps(whole[at])}]"
    (tmp_path / "adapters" / "stopped" / SIDECAR_FILE).write_text(stop)

    for stopped in serve(model_folder, tmp_path / "adapters"):
        text, _ = complete(stopped, "stopped", max_tokens=12, **GREEDY)
        all_of_it, _ = complete(stopped, "stopped", max_tokens=12, stop=[], **GREEDY)
        invoked = invoke(stopped, "stopped", max_new_tokens=12)

    assert text == whole[:at]
    assert all_of_it == whole
    assert invoked["generated_text"] == whole[:at]


def test_an_alias_is_answered_by_its_adapter(client: httpx.Client) -> None:
    response = client.post(COMPLETIONS, json={"model": "brief", "prompt": "Hello"})
    cards = {card["id"]: card for card in client.get("/v1/models").json()["data"]}

    assert response.status_code == 200, response.text
    assert response.headers["x-hotswap-adapter"] == "short"
    assert cards["brief"]["root"] == "short"
    assert client.get("/v1/adapters/short").json()["aliases"] == ["brief"]


def test_a_sidecars_scale_makes_another_generation(client: httpx.Client) -> None:
    rows = {row["name"]: row for row in client.get("/v1/adapters").json()["data"]}

    weak, plain = (
        complete(client, name, max_tokens=8, **GREEDY) for name in ("weak", "plain")
    )

    assert rows["weak"]["generation"] != rows["plain"]["generation"]
    assert rows["short"]["generation"] == rows["plain"]["generation"]
    assert weak != plain


def test_a_conversation_is_put_into_the_adapters_own_template(
    client: httpx.Client,
) -> None:
    chat = {"messages": MESSAGES, "max_tokens": 8, **GREEDY}

    own = post(client, CHAT, adapter="template", **chat)
    models = post(client, CHAT, adapter="plain", **chat)
    same = post(client, COMPLETIONS, adapter="plain", prompt="Hello:", **GREEDY)

    assert own["usage"]["prompt_tokens"] == len("Hello:")
    assert models["usage"]["prompt_tokens"] == len("user:Hello\nassistant:")
    assert same["choices"][0]["text"].startswith(
        own["choices"][0]["message"]["content"]
    )


@pytest.mark.parametrize("adapter", ["broken", "escaping"])
def test_a_template_that_fails_is_named(adapter: str, client: httpx.Client) -> None:
    response = client.post(CHAT, json={"messages": MESSAGES, "adapter": adapter})

    assert response.status_code == 400, response.text
    assert f"adapter `{adapter}`" in response.json()["error"]["message"]
    assert "template" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT, "/invocations"])
def test_priority_and_deadline_are_taken_and_have_ranges(
    path: str, client: httpx.Client
) -> None:
    if path == "/invocations":

        def body(**fields: Any) -> dict[str, Any]:
            return {"inputs": "Hello", "parameters": {"max_new_tokens": 2, **fields}}
    else:

        def body(**fields: Any) -> dict[str, Any]:
            start = (
                {"prompt": "Hello"} if path == COMPLETIONS else {"messages": MESSAGES}
            )
            return {**start, "max_tokens": 2, **fields}

    good = client.post(path, json=body(priority=-3, deadline_s=30.0))

    assert good.status_code == 200, good.text
    for bad in ({"priority": 0.5}, {"priority": 1 << 40}, {"deadline_s": 0}):
        refused = client.post(path, json=body(**bad))
        assert refused.status_code == 400
        assert next(iter(bad)) in refused.text


def test_a_body_is_preprocessed_for_its_adapter_alone(hooked: httpx.Client) -> None:
    question = {"question": "Hello", "adapter": "asked"}

    _, tokens = complete(hooked, "asked", max_tokens=9, ignore_eos=True, **GREEDY)
    _, others = complete(hooked, "plain", max_tokens=9, ignore_eos=True, **GREEDY)
    invoked = post(hooked, "/invocations", **question)
    vetoed = hooked.post("/invocations", json={**question, "secret": 1})
    openai = hooked.post(COMPLETIONS, json={"adapter": "asked", "secret": 1})
    unread = hooked.post("/invocations", json={**question, "adapter": "plain"})

    assert (tokens, others) == (3, 9)
    plain = invoke(hooked, "plain", max_new_tokens=3)["generated_text"]
    assert invoked["generated_text"] == plain
    assert (vetoed.status_code, vetoed.json()["message"]) == (424, "no secrets here")
    assert openai.status_code == 422
    assert unread.status_code == 400


def test_several_adapters_in_one_body_cannot_be_preprocessed(
    hooked: httpx.Client,
) -> None:
    body = {"inputs": ["a", "b"], "adapters": ["plain", "loud"]}

    several = hooked.post("/invocations", json=body)
    one = hooked.post("/invocations", json={**body, "adapters": ["plain", "plain"]})

    assert several.status_code == 400
    assert "`adapters`" in several.json()["message"]
    assert len(one.json()) == 2


def streamed(client: httpx.Client, adapter: str) -> list[str]:
    body = {"prompt": "Hello", "adapter": adapter, "max_tokens": 9, "ignore_eos": True}
    response = client.post(COMPLETIONS, json={**body, **GREEDY, "stream": True})
    lines = [line[6:] for line in response.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line)["choices"][0]["text"] for line in lines[:-1]]


def test_text_is_changed_in_answers_and_in_streams_alike(hooked: httpx.Client) -> None:
    asked = {"max_tokens": 9, "ignore_eos": True, **GREEDY}
    plain, _ = complete(hooked, "plain", **asked)

    loud, _ = complete(hooked, "loud", **asked)
    backwards, _ = complete(hooked, "backwards", **asked)
    parts = streamed(hooked, "loud")

    assert loud == plain.upper() + "!"
    assert backwards == plain[::-1]
    assert "".join(parts) == loud
    assert len(parts) > 2, "it was not streamed piece by piece"
    assert "".join(streamed(hooked, "backwards")) == backwards


def test_djls_lines_hold_the_changed_text_and_no_other(hooked: httpx.Client) -> None:
    body = {"inputs": "Hello", "adapter": "backwards", "stream": True}
    asked = {"max_new_tokens": 9, "ignore_eos_token": True}

    response = hooked.post("/invocations", json={**body, "parameters": asked})
    whole = invoke(hooked, "backwards", **asked)["generated_text"]

    lines = [json.loads(line) for line in response.text.splitlines()]
    assert whole == invoke(hooked, "plain", **asked)["generated_text"][::-1]
    assert lines[-1]["generated_text"] == whole
    assert [line["token"]["text"] for line in lines] == [*[""] * 8, whole]


def test_a_change_that_fails_refuses_the_answer_and_frees_its_job(
    hooked: httpx.Client,
) -> None:
    body = {"prompt": "Hello", "adapter": "faulty", "max_tokens": 9}

    refused = hooked.post(COMPLETIONS, json=body)
    wait_until(lambda: hooked.get("/v1/status").json()["live"] == 0)

    assert refused.status_code == 422
    assert refused.json()["error"]["type"] == "UnprocessableEntityError"
