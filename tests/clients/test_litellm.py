"""LiteLLM's library: a hosted_vllm model is an adapter."""

import asyncio
from typing import Any

import litellm
import pytest

from tests.clients.asking import HELLO, Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood, Weather

PROVIDERS = pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": Weather.model_json_schema()},
}


def asked(server: Server, provider: str = "hosted_vllm", tokens: int = 8) -> Any:
    return {
        "model": f"{provider}/pirate",
        "api_base": server.v1,
        "api_key": "none",
        "messages": HELLO,
        "temperature": 0,
        "max_tokens": tokens,
        "num_retries": 0,
    }


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("LiteLLM") == server.chat("pirate")


@PROVIDERS
def test_a_completion_and_its_stream(provider: str, server: Server) -> None:
    answer = litellm.completion(**asked(server, provider))
    chunks = litellm.completion(stream=True, **asked(server, provider))

    assert answer.choices[0].message.content == server.chat("pirate")
    assert answer.model.endswith("pirate")
    told = (chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "".join(told) == server.chat("pirate")


def test_acompletion(server: Server) -> None:
    answer = asyncio.run(litellm.acompletion(**asked(server)))
    assert answer.choices[0].message.content == server.chat("pirate")


@PROVIDERS
def test_a_response_format(provider: str, server: Server) -> None:
    answer = litellm.completion(
        response_format=Mood, **asked(server, provider, tokens=400)
    )
    Mood.model_validate_json(answer.choices[0].message.content)


@PROVIDERS
def test_a_forced_call(provider: str, server: Server) -> None:
    answer = litellm.completion(
        tools=[TOOL], tool_choice="required", **asked(server, provider, tokens=400)
    )
    [call] = answer.choices[0].message.tool_calls[:1]
    assert call.function.name == "weather"
    Weather.model_validate_json(call.function.arguments)


def test_log_probabilities(server: Server) -> None:
    answer = litellm.completion(logprobs=True, top_logprobs=2, **asked(server))
    assert len(answer.choices[0].logprobs.content) == 8


def test_a_text_completion(server: Server) -> None:
    body = asked(server) | {"model": "text-completion-openai/pirate"}
    body["prompt"] = "Hello"
    del body["messages"]
    answer = litellm.text_completion(**body)
    assert answer.choices[0].text == server.completion("pirate")


def test_responses(server: Server) -> None:
    answer = litellm.responses(
        model="openai/pirate",
        input="Hello",
        api_base=server.v1,
        api_key="none",
        temperature=0,
        max_output_tokens=16,  # the least that it sends
        store=False,
    )
    assert answer.output[0].content[0].text == server.chat("pirate", 16)
