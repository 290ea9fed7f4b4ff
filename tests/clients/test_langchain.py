"""LangChain's ChatOpenAI: invoke, astream, batch, structured output, tools."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.clients.asking import Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood, Weather


def chat(server: Server, adapter: str = "pirate", tokens: int = 8, **more: Any) -> Any:
    return ChatOpenAI(
        base_url=server.v1,
        api_key="none",
        model=adapter,
        temperature=0,
        max_tokens=tokens,
        max_retries=0,
        **more,
    )


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("LangChain") == server.chat("pirate")


def test_invoke_tells_the_adapter_and_the_usage(server: Server) -> None:
    answer = chat(server).invoke("Hello")
    assert answer.content == server.chat("pirate")
    assert answer.response_metadata["model_name"] == "pirate"
    assert answer.usage_metadata["output_tokens"] == 8


def test_a_batch_of_two_adapters(server: Server) -> None:
    for adapter in ("pirate", "sql"):
        answers = chat(server, adapter).batch(["Hello", "Hello"])
        assert [one.content for one in answers] == [server.chat(adapter)] * 2


def test_astream(server: Server) -> None:
    async def pieces() -> list[str]:
        stream = chat(server).astream("Hello")
        return [str(chunk.content) async for chunk in stream]

    told = asyncio.run(pieces())
    assert "".join(told) == server.chat("pirate")
    assert len([one for one in told if one]) > 1


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_with_structured_output(method: str, server: Server) -> None:
    is_free = method == "json_mode"
    # A penalty, or what repeats itself never ends a string.
    asked = chat(server, tokens=400, frequency_penalty=2 if is_free else 0)
    model = asked.with_structured_output(Mood, method=method, include_raw=is_free)
    answer = model.invoke("Hello")
    if is_free:  # any object: whether it is a Mood is the model's to say
        assert answer["raw"].content.lstrip().startswith("{")
    else:
        assert isinstance(answer, Mood)


def test_bind_tools_and_their_results(server: Server) -> None:
    model = chat(server, tokens=400)
    answer = model.bind_tools([Weather], tool_choice="any").invoke("Hello")
    [call] = answer.tool_calls[:1]
    assert call["name"] == "Weather"
    Weather.model_validate(call["args"])

    told = [HumanMessage("Hello"), answer]
    told += [ToolMessage("18", tool_call_id=one["id"]) for one in answer.tool_calls]
    again = model.bind(max_tokens=8).bind_tools([Weather]).invoke(told)
    assert again.response_metadata["model_name"] == "pirate"


def test_log_probabilities(server: Server) -> None:
    answer = chat(server, logprobs=True, top_logprobs=2).invoke("Hello")
    assert len(answer.response_metadata["logprobs"]["content"]) == 8


def test_the_responses_api(server: Server) -> None:
    answer = chat(server, use_responses_api=True, store=False).invoke("Hello")
    assert answer.text == server.chat("pirate")
