"""A folder's sidecar, as requests meet it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap.adapters.sidecar import SIDECAR_FILE
from tests.live.asking import (
    CHAT,
    COMPLETIONS,
    GREEDY,
    complete,
    invoke,
    post,
    save_adapter,
    serve,
)

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("folder"))


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
