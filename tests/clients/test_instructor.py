"""instructor: every mode that asks for a structure by a field."""

from typing import Any

import instructor
import openai
import pytest

from tests.clients.asking import HELLO, Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood

MODES = [
    instructor.Mode.TOOLS,
    instructor.Mode.TOOLS_STRICT,
    instructor.Mode.JSON_SCHEMA,
]
ASKED: dict[str, Any] = {
    "model": "pirate",
    "temperature": 0,
    "max_tokens": 400,
    "max_retries": 0,
    "messages": HELLO,
    "response_model": Mood,
}


def client(server: Server, mode: Any) -> Any:
    return instructor.from_openai(
        openai.OpenAI(base_url=server.v1, api_key="none", max_retries=0), mode=mode
    )


def test_the_page(snippet: Snippet) -> None:
    assert snippet("instructor") in (
        f"mood='{mood}' loud={loud}"
        for mood in ("calm", "angry")
        for loud in (False, True)
    )


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_mode(mode: Any, server: Server) -> None:
    answer, raw = client(server, mode).chat.completions.create_with_completion(**ASKED)
    assert isinstance(answer, Mood)
    assert raw.model == "pirate"


@pytest.mark.parametrize("mode", ["JSON", "MD_JSON"])
def test_a_mode_that_asks_in_words_gets_what_the_model_says(
    mode: str, server: Server
) -> None:
    asked = ASKED | {"max_tokens": 60}
    with pytest.raises(Exception, match=r"(?i)incomplete|validation|json|max_tokens"):
        client(server, instructor.Mode[mode]).chat.completions.create(**asked)


def test_partial_answers_of_a_stream(server: Server) -> None:
    stream = client(server, instructor.Mode.TOOLS).chat.completions.create_partial(
        **ASKED
    )
    assert Mood.model_validate(list(stream)[-1].model_dump())
