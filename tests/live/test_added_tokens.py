"""An adapter with tokens of its own, over HTTP; and those that lack them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from hotswap.adapters.sidecar import SIDECAR_FILE
from tests import added, tiny
from tests.added import STOP, THINK
from tests.servers import Live, settings, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # PEFT's, while it makes adapters
]
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
PROMPTS = ["Hello", "1 2 <think> 3", "abc<stop>", "<think>Hello!"]
TOKENS = 24
CONVERSATION = [{"role": "user", "content": "Hello"}]
NAMES = ("grown", "bare", "plain", "templated", "told")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`grown` knows more tokens, `bare` too but brings no tokenizer; the others know
    the model's, and `templated` and `told` bring a template."""
    root = tmp_path_factory.mktemp("folders")
    added.save(root / "grown")
    added.save(root / "bare", with_tokenizer=False)
    for name in ("plain", "templated", "told"):
        tiny.save_adapter(root / name, "llama", 1, strength=1.5, r=2)
        if name != "plain":
            spoken = tiny.tokenizer()
            spoken.chat_template = "{{ messages[0]['content'] }} it is"
            spoken.save_pretrained(root / name)
    said = "chat_template = \"{{ messages[0]['content'] }} I said\""
    (root / "told" / SIDECAR_FILE).write_text(said)
    return root


@pytest.fixture(scope="module")
def server(model_folder: Path, folders: Path) -> Iterator[Live]:
    with Live(app.build(settings(model_folder, folders))) as live:
        url = f"{live.url}/v1/adapters"
        wait_until(lambda: len(httpx.get(url).json()["data"]) == len(NAMES))
        yield live


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def complete(
    client: httpx.Client, adapter: str, prompt: str | list[int], **more: Any
) -> httpx.Response:
    body = {"adapter": adapter, "prompt": prompt, "temperature": 0, **more}
    return client.post(COMPLETIONS, json={"max_tokens": TOKENS, **body})


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


def refused_field(response: httpx.Response) -> str:
    assert response.status_code == 400, response.text
    return str(response.json()["error"]["param"])


def streamed(client: httpx.Client, path: str, **body: Any) -> tuple[str, str]:
    """The text of all events, and what ended it."""
    text, finish = "", ""
    with client.stream("POST", path, json={"stream": True, **body}) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("data: {"):
                (choice,) = json.loads(line[6:])["choices"]
                text += (
                    choice["text"] if "text" in choice else choice["delta"]["content"]
                )
                finish = choice["finish_reason"] or finish
    return text, finish


@pytest.mark.parametrize("prompt", [*PROMPTS, [72, THINK, STOP, 101]])
def test_the_text_is_that_of_transformers_with_the_folders_tokenizer(
    prompt: str | list[int], client: httpx.Client, folders: Path
) -> None:
    ids, wanted = added.said(folders / "grown", prompt, TOKENS)

    response = complete(client, "grown", prompt)

    assert text_of(response) == wanted
    usage, own = response.json()["usage"], added.tokenizer()
    assert usage["completion_tokens"] == len(ids)
    given = own(prompt).input_ids if isinstance(prompt, str) else prompt
    assert usage["prompt_tokens"] == len(given)
    finish = "stop" if ids[-1] in (STOP, tiny.EOS) else "length"
    assert response.json()["choices"][0]["finish_reason"] == finish
    body = {"adapter": "grown", "max_tokens": TOKENS, "temperature": 0}
    assert streamed(client, COMPLETIONS, prompt=prompt, **body) == (wanted, finish)


def test_the_answers_of_these_tests_hold_added_tokens_and_end_by_one(
    folders: Path,
) -> None:
    made = [added.said(folders / "grown", prompt, TOKENS) for prompt in PROMPTS]

    assert any(ids.count(THINK) > 1 and "<think>" in text for ids, text in made)
    assert any(ids[-1] == STOP and len(ids) > 2 for ids, _ in made)


def test_without_the_eos_an_answer_goes_on(client: httpx.Client, folders: Path) -> None:
    ids, _ = added.said(folders / "grown", PROMPTS[3], TOKENS)
    assert ids[-1] == STOP

    response = complete(client, "grown", PROMPTS[3], ignore_eos=True)

    assert response.json()["usage"]["completion_tokens"] == TOKENS > len(ids)


def test_a_conversation_is_written_in_the_folders_template(
    client: httpx.Client, folders: Path
) -> None:
    _, wanted = added.said(folders / "grown", "<think>Hello!", TOKENS)
    body = {
        "adapter": "grown",
        "messages": CONVERSATION,
        "max_tokens": TOKENS,
        "temperature": 0,
    }

    whole = client.post(CHAT, json=body)

    assert whole.json()["choices"][0]["message"]["content"] == wanted
    assert whole.json()["usage"]["prompt_tokens"] == 7
    assert streamed(client, CHAT, **body) == (wanted, "stop")


def test_djls_form_has_the_same_text(client: httpx.Client, folders: Path) -> None:
    _, wanted = added.said(folders / "grown", PROMPTS[1], TOKENS)
    parameters = {"max_new_tokens": TOKENS, "do_sample": False}
    body = {"inputs": PROMPTS[1], "adapter": "grown", "parameters": parameters}

    response = client.post("/invocations", json=body)

    assert response.json()["generated_text"] == wanted


@pytest.mark.parametrize("name", ["base", "plain", "templated", "bare"])
def test_tokens_that_a_tokenizer_lacks_are_refused(
    name: str, client: httpx.Client
) -> None:
    prompt = complete(client, name, [72, THINK])
    stop = complete(client, name, "a", stop_token_ids=[THINK])

    assert refused_field(prompt) == "prompt"
    assert refused_field(stop) == "stop_token_ids"


def test_tokens_that_even_the_adapter_lacks_are_refused(client: httpx.Client) -> None:
    prompt = complete(client, "grown", [72, added.GROWN])
    stop = complete(client, "grown", "a", stop_token_ids=[added.GROWN])

    assert refused_field(prompt) == "prompt"
    assert refused_field(stop) == "stop_token_ids"


def test_an_added_token_may_end_a_text(client: httpx.Client, folders: Path) -> None:
    ids, _ = added.said(folders / "grown", PROMPTS[0], TOKENS)
    assert THINK in ids

    response = complete(client, "grown", PROMPTS[0], stop_token_ids=[THINK])

    tokens = response.json()["usage"]["completion_tokens"]
    assert tokens == ids.index(THINK) + 1
    assert "<think>" not in text_of(response)


def test_only_an_adapter_without_tokenizer_warns_of_its_tokens(
    client: httpx.Client,
) -> None:
    rows = {row["name"]: row for row in client.get("/v1/adapters").json()["data"]}

    (warning,) = rows["bare"]["warnings"]
    assert "2 tokens" in warning
    assert not any(rows[name]["warnings"] for name in NAMES if name != "bare")
    assert text_of(complete(client, "bare", "Hello"))


@pytest.mark.parametrize(
    ("name", "written"), [("templated", "Hello it is"), ("told", "Hello I said")]
)
def test_a_template_alone_is_the_folders_unless_the_sidecar_has_one(
    name: str, written: str, client: httpx.Client
) -> None:
    body = {"adapter": name, "max_tokens": TOKENS, "temperature": 0}

    said = client.post(CHAT, json={**body, "messages": CONVERSATION})

    wanted = text_of(complete(client, name, written))
    assert said.json()["choices"][0]["message"]["content"] == wanted
    assert said.json()["usage"]["prompt_tokens"] == len(written)


def test_an_adapter_that_is_read_when_asked_for_knows_its_tokens_at_once(
    client: httpx.Client, folders: Path
) -> None:
    asked = {"name": "lazy", "src": "grown", "preload": "false"}
    assert client.post("/adapters", params=asked).status_code == 200
    try:
        response = complete(client, "lazy", [72, THINK])

        _, wanted = added.said(folders / "grown", [72, THINK], TOKENS)
        assert text_of(response) == wanted
    finally:
        client.delete("/adapters/lazy")
