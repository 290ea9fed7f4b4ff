"""A client that openapi-generator makes of /schema; it runs where there is Java."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.asking import Server

pytestmark = pytest.mark.skipif(not shutil.which("java"), reason="needs Java")


@pytest.fixture(scope="module")
def api(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("generated")
    tool = Path(sys.executable).with_name("openapi-generator-cli")
    place = ["-i", f"{server.url}/schema/openapi.json", "-o", str(folder)]
    done = subprocess.run(
        [tool, "generate", "-g", "python", "--package-name", "of_openapi", *place],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    made = importlib.import_module("of_openapi")
    return made.DefaultApi(made.ApiClient(made.Configuration(host=server.url)))


def test_it_completes_chats_and_lists_models(api: Any, server: Server) -> None:
    said = importlib.import_module("of_openapi.models")
    short = {"max_tokens": 8, "temperature": 0, "adapter": "pirate"}
    prompt = said.CompletionPrompt("Hello")
    message = said.ChatMessage(role="user", content=said.ChatMessageContent("Hello"))

    text = api.post_v1_completions(said.Completion(prompt=prompt, **short))
    answer = api.post_v1_chat_completions(said.Chat(messages=[message], **short))
    cards = api.get_v1_models()

    assert text.choices[0].text == server.completion("pirate")
    assert answer.choices[0].message.content == server.chat("pirate")
    assert {"pirate", "sql"} <= {card.id for card in cards.data}


def test_an_error_is_raised_with_what_the_server_said(api: Any) -> None:
    made = importlib.import_module("of_openapi")
    said = importlib.import_module("of_openapi.models")
    prompt = said.CompletionPrompt("Hello")

    with pytest.raises(made.ApiException) as caught:
        api.post_v1_completions(said.Completion(prompt=prompt, adapter="nobody"))

    assert caught.value.status == 404
    assert "nobody" in caught.value.body
