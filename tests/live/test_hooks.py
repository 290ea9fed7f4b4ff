"""The operator's hooks, as requests and answers meet them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.asking import (
    COMPLETIONS,
    GREEDY,
    complete,
    invoke,
    post,
    save_adapter,
    serve,
)
from tests.servers import wait_until

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
    return save_adapter(tmp_path_factory.mktemp("folder"))


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

    assert several.status_code == 424
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
