"""A client that openapi-python-client makes of /schema."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.asking import Server


@pytest.fixture(scope="module")
def made(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Its package, of which nothing is left out."""
    folder = tmp_path_factory.mktemp("made")
    place = ["--url", f"{server.url}/schema/openapi.json", "--meta", "none"]
    tool = Path(sys.executable).with_name("openapi-python-client")
    done = subprocess.run(
        [tool, "generate", *place, "--output-path", folder / "of_schema"],
        env={"PATH": str(tool.parent)},  # it formats by ruff
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arning" not in done.stdout
    sys.path.insert(0, str(folder))
    return importlib.import_module("of_schema")


def ask(made: Any, server: Server, route: str, **body: Any) -> Any:
    function = importlib.import_module(f"of_schema.api.default.{route}")
    return function.sync(client=made.Client(server.url), **body)


def test_it_completes_chats_and_lists_models(made: Any, server: Server) -> None:
    said = importlib.import_module("of_schema.models")
    body = said.Completion(
        prompt="Hello", max_tokens=8, temperature=0, adapter="pirate"
    )
    talk = said.Chat(
        messages=[said.ChatMessage(role=said.ChatMessageRole.USER, content="Hello")],
        max_tokens=8,
        temperature=0,
        adapter="pirate",
    )

    text = ask(made, server, "post_v1_completions", body=body)
    answer = ask(made, server, "post_v1_chat_completions", body=talk)
    cards = ask(made, server, "get_v1_models")

    assert text.choices[0].text == server.completion("pirate")
    assert text.usage.completion_tokens == 8
    assert answer.choices[0].message.content == server.chat("pirate")
    assert {"pirate", "sql"} <= {card.id for card in cards.data}


def test_other_families_and_errors_have_types_too(made: Any, server: Server) -> None:
    said = importlib.import_module("of_schema.models")
    wrong = said.Completion(prompt="Hello", adapter="nobody")
    plain = said.GenerateParameters(adapter_id="pirate", max_new_tokens=8)
    body = said.Generate(inputs="Hello", parameters=plain)

    generated = ask(made, server, "post_generate", body=body)
    error = ask(made, server, "post_v1_completions", body=wrong)

    assert generated.generated_text == server.completion("pirate")
    assert (error.error.code, error.error.param) == (404, "adapter")
