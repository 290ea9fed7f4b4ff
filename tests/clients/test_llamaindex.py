"""LlamaIndex's OpenAILike: complete, chat, streams, structured prediction, tools."""

import asyncio
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from tests.clients.asking import Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood

HELLO = [ChatMessage(role="user", content="Hello")]


def llm(server: Server, tokens: int = 8, **more: Any) -> Any:
    return OpenAILike(
        api_base=server.v1,
        api_key="none",
        model="pirate",
        temperature=0,
        max_tokens=tokens,
        max_retries=0,
        **{"is_chat_model": True, **more},
    )


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("LlamaIndex") == server.chat("pirate")


def test_chat_and_its_stream(server: Server) -> None:
    answer = llm(server).chat(HELLO)
    pieces = [one.delta for one in llm(server).stream_chat(HELLO)]

    assert answer.message.content == "".join(pieces) == server.chat("pirate")
    assert answer.raw.model == "pirate"


def test_achat(server: Server) -> None:
    answer = asyncio.run(llm(server).achat(HELLO))
    assert answer.message.content == server.chat("pirate")


def test_complete(server: Server) -> None:
    answer = llm(server, is_chat_model=False).complete("Hello")
    assert answer.text == server.completion("pirate")


def test_structured_prediction(server: Server) -> None:
    model = llm(server, 400, is_function_calling_model=True)
    answer = model.as_structured_llm(Mood).chat(HELLO)
    assert isinstance(answer.raw, Mood)


def test_a_forced_call(server: Server) -> None:
    def loud(yes: bool) -> str:
        """Whether to shout."""
        return str(yes)

    model = llm(server, 400, is_function_calling_model=True)
    answer = model.chat_with_tools(
        [FunctionTool.from_defaults(fn=loud)], "Hello", tool_choice="required"
    )
    [call] = model.get_tool_calls_from_response(answer)[:1]
    assert call.tool_name == "loud"
    assert isinstance(call.tool_kwargs["yes"], bool)
