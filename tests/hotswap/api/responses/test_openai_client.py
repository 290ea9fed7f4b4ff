"""OpenAI's own client: create, stream, parse, asynchronously, a second turn."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.hotswap.api.chat.speaking import HERMES, Speaking, speaking
from tests.hotswap.api.responses.asking import TOOLS

ROME = '{"city": "Rome"}'
CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {ROME}}}\n</tool_call>'
NAMED: Any = {"type": "function", "name": "get_weather"}
ASKED: dict[str, Any] = {"model": "tiny", "input": "How is Rome?", "tools": TOOLS}


class Verdict(BaseModel):
    sentiment: str


class GetWeather(BaseModel):
    city: str


@pytest.fixture(scope="module")
def server() -> Iterator[Speaking]:
    with speaking(HERMES) as server:
        yield server


def test_the_text_of_an_answer(server: Speaking) -> None:
    server.says("Ahoy")

    response = server.client.responses.create(model="tiny", input="Hello")

    assert response.output_text == "Ahoy"
    assert (response.status, response.model) == ("completed", "tiny")
    assert server.engine.prompt.endswith(
        "user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_the_clients_stream_makes_the_final_response(
    server: Speaking, size: int
) -> None:
    server.says(f"I look.{CALL}", size=size)

    with server.client.responses.stream(**ASKED) as stream:
        snapshots = [
            e.snapshot for e in stream if e.type == "response.output_text.delta"
        ]
        final = stream.get_final_response()

    assert snapshots[-1] == final.output_text == "I look."
    call = final.output[1]
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", ROME)


def test_a_parsed_answer_and_a_parsed_call(server: Speaking) -> None:
    server.says('{"sentiment": "good"}')
    answer = server.client.responses.parse(
        model="tiny", input="Hello", text_format=Verdict
    )
    with server.client.responses.stream(
        model="tiny", input="Hello", text_format=Verdict
    ) as stream:
        streamed = stream.get_final_response()
    server.says('{"city": "Rome"}')
    function = openai.pydantic_function_tool(GetWeather)["function"]
    tools: Any = [{"type": "function", **function}]
    called = server.client.responses.parse(
        model="tiny",
        input="Hello",
        tools=tools,
        tool_choice={"type": "function", "name": "GetWeather"},
    )

    assert answer.output_parsed == streamed.output_parsed == Verdict(sentiment="good")
    assert answer.text is not None
    assert answer.text.format is not None
    assert answer.text.format.type == "json_schema"
    (call,) = called.output
    assert call.type == "function_call"
    assert call.parsed_arguments == {"city": "Rome"}


def test_an_asynchronous_client_streams(server: Speaking) -> None:
    server.says("Ahoy", size=1)

    async def said() -> str:
        transport = httpx.ASGITransport(app=server.http.app)
        http: Any = httpx.AsyncClient(transport=transport)
        url = "http://localhost/v1"
        async with openai.AsyncOpenAI(
            base_url=url, api_key="x", http_client=http
        ) as client:
            stream = await client.responses.create(
                model="tiny", input="Hello", stream=True
            )
            deltas = [
                event.delta
                async for event in stream
                if event.type == "response.output_text.delta"
            ]
        return "|".join(deltas)

    assert asyncio.run(said()) == "A|h|o|y"


def test_a_second_turn_sends_back_the_call_and_what_came_of_it(
    server: Speaking,
) -> None:
    server.says(f"I look.{CALL}")
    first = server.client.responses.create(**ASKED)
    call = first.output[1]
    assert call.type == "function_call"
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    for items in (first.output, [item.model_dump() for item in first.output]):
        server.says("It is sunny.")
        told: Any = [{"role": "user", "content": "How is Rome?"}, *items, output]
        second = server.client.responses.create(**{**ASKED, "input": told})

        assert second.output_text == "It is sunny."
        turns = server.engine.prompt.split("<|im_start|>")[2:]
        assert turns[1].startswith("assistant\nI look.<tool_call>")
        assert ROME in turns[1]
        assert turns[2] == "tool\nsun<|im_end|>\n"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("required", f'[{{"name": "get_weather", "parameters": {ROME}}}]'),
        (NAMED, ROME),
    ],
    ids=["required", "named"],
)
def test_a_call_that_is_forced(server: Speaking, choice: Any, said: str) -> None:
    server.says(said)

    response = server.client.responses.create(**ASKED, tool_choice=choice)

    (call,) = response.output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", ROME)
    expected = choice if isinstance(choice, str) else "function"
    assert expected in (response.tool_choice, getattr(response.tool_choice, "type", ""))


def test_an_error_is_the_clients_own(server: Speaking) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        server.client.responses.create(model="tiny", input="Hello", store=True)

    assert caught.value.param == "store"
