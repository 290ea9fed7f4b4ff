"""Over HTTP: a prompt that comes again is found, told of, and answered as PEFT does."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from peft import PeftModel

from hotswap import config
from hotswap.echo import app as echo
from tests import tiny
from tests.live.asking import CHAT, COMPLETIONS, GREEDY, post, serve
from tests.oracle import said_by
from tests.servers import Live, wait_until

PROMPT = "Once upon a time there was a ship, and on it"  # of 44 tokens
WHOLE = 32


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(["a", "b"]):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5, r=seed + 2)
    (root / "a" / "hotswap.toml").write_text('aliases = ["also"]')
    return root


@pytest.fixture(scope="module")
def client(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    yield from serve(model_folder, directory)


def complete(client: httpx.Client, adapter: str, **body: Any) -> tuple[str, int]:
    """Its text, and how many tokens of the prompt were found."""
    asked = {"prompt": PROMPT, "max_tokens": 8, "adapter": adapter, **GREEDY, **body}
    answer = post(client, COMPLETIONS, **asked)
    details = answer["usage"]["prompt_tokens_details"]
    return answer["choices"][0]["text"], details["cached_tokens"]


def peft(folder: Path | None) -> str:
    model = tiny.model("llama")
    if folder is None:
        return said_by(model, PROMPT, 8)
    return said_by(PeftModel.from_pretrained(model, folder).eval(), PROMPT, 8)


def counted(client: httpx.Client, name: str) -> float:
    (value,) = re.findall(
        rf"^hotswap_{name}_total (.*)$", client.get("/metrics").text, re.M
    )
    return float(value)


def test_each_adapter_and_the_base_find_their_own_and_say_what_peft_says(
    client: httpx.Client, directory: Path
) -> None:
    queries = counted(client, "prefix_cache_queried_tokens")
    hits = counted(client, "prefix_cache_hit_tokens")
    for name, folder in (("", None), ("a", directory / "a"), ("b", directory / "b")):
        right = peft(folder)
        assert complete(client, name) == (right, 0)
        assert complete(client, name) == (right, WHOLE)
    assert complete(client, "also") == (peft(directory / "a"), WHOLE)

    told = client.get("/v1/status").json()["counters"]
    tokens = len(tiny.tokenizer()(PROMPT).input_ids)
    assert counted(client, "prefix_cache_queried_tokens") - queries == 7 * tokens
    assert counted(client, "prefix_cache_hit_tokens") - hits == 4 * WHOLE
    assert told["prefix_cache_hits"] == counted(client, "prefix_cache_hit_tokens")
    assert told["preemptions"] == counted(client, "preemptions") == 0


def test_a_salt_keeps_a_prompt_to_those_who_know_it(client: httpx.Client) -> None:
    text, _ = complete(client, "b")
    for salt in ("mine", "yours"):
        assert complete(client, "b", cache_salt=salt) == (text, 0)
        assert complete(client, "b", cache_salt=salt) == (text, WHOLE)


def test_a_folder_that_is_replaced_takes_its_prompts_with_it(
    client: httpx.Client, directory: Path, tmp_path: Path
) -> None:
    complete(client, "b")
    before = client.get("/v1/adapters/b").json()["generation"]
    shutil.rmtree(directory / "b")
    shutil.copytree(
        tiny.save_adapter(tmp_path / "b", "llama", 7, strength=1.5, r=4),
        directory / "b",
    )
    wait_until(
        lambda: (
            client.get("/v1/adapters/b").json().get("generation") not in (None, before)
        )
    )

    assert complete(client, "b") == (peft(directory / "b"), 0)


def test_a_chat_that_goes_on_finds_what_was_said(client: httpx.Client) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    for _ in range(3):
        body = {"messages": messages, "adapter": "a", "max_tokens": 20, **GREEDY}
        answer = post(client, CHAT, **body)
        used = answer["usage"]
        messages.append(answer["choices"][0]["message"])
        messages.append({"role": "user", "content": "And then?"})

    found = used["prompt_tokens_details"]["cached_tokens"]
    assert used["prompt_tokens"] - found < 60 < found


def test_a_server_that_is_told_so_remembers_nothing() -> None:
    told: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "memory": {"prefix_cache": False},
    }
    with (
        Live(echo.build(config.load(None, told))) as server,
        server.client() as client,
    ):
        found = [complete(client, "") for _ in range(2)]
        status = client.get("/v1/status").json()

    assert found == [(PROMPT[:8], 0)] * 2
    assert status["executor"]["prefix_cache"] is False
    assert status["counters"]["prefix_cache_queries"] == 0
