"""pydantic-ai: text, streams, tools and every output mode, by chat and by responses."""

import asyncio
from typing import Any

import pytest
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.asking import Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood

MODELS = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}
KINDS = pytest.mark.parametrize("kind", MODELS)


def agent(server: Server, kind: str, tokens: int = 8, **more: Any) -> Any:
    provider = OpenAIProvider(base_url=server.v1, api_key="none")
    settings: Any = {"temperature": 0, "max_tokens": tokens}
    return Agent(
        MODELS[kind]("pirate", provider=provider), model_settings=settings, **more
    )


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("pydantic-ai") == server.chat("pirate")


@KINDS
def test_text_tells_the_adapter(kind: str, server: Server) -> None:
    answer = agent(server, kind).run_sync("Hello")
    assert answer.output == server.chat("pirate")
    assert answer.all_messages()[-1].model_name == "pirate"


@KINDS
def test_a_stream(kind: str, server: Server) -> None:
    async def text() -> str:
        async with agent(server, kind).run_stream("Hello") as answer:
            return "".join(
                [one async for one in answer.stream_text(delta=True, debounce_by=None)]
            )

    assert asyncio.run(text()) == server.chat("pirate")


@KINDS
@pytest.mark.parametrize("mode", [ToolOutput, NativeOutput])
def test_an_output_mode(mode: Any, kind: str, server: Server) -> None:
    made = agent(server, kind, 400, output_type=mode(Mood))
    assert isinstance(made.run_sync("Hello").output, Mood)


@KINDS
def test_a_prompted_output_is_asked_for_as_a_json_object(
    kind: str, server: Server
) -> None:
    # A model of noise writes some object; that it is taken for a Mood is not ours.
    made = agent(server, kind, 60, output_type=PromptedOutput(Mood), retries=0)
    with pytest.raises(Exception, match=r"(?i)retries|token limit"):
        made.run_sync("Hello")


@KINDS
def test_a_tool_that_may_be_called(kind: str, server: Server) -> None:
    made = agent(server, kind)

    @made.tool_plain  # type: ignore[untyped-decorator]
    def weather(city: str) -> str:
        """The weather of a city."""
        return city

    answer = made.run_sync("Hello")
    assert isinstance(answer.output, str)
    assert answer.all_messages()[-1].model_name == "pirate"
