"""OpenAI's Python library: answers, streams, structure, tools, log-probabilities."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.clients.asking import HELLO, Server
from tests.clients.conftest import Snippet
from tests.clients.structures import Mood, Weather

GREEDY: dict[str, Any] = {"model": "pirate", "temperature": 0, "max_tokens": 8}
LONG: dict[str, Any] = GREEDY | {"max_tokens": 400}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.v1, api_key="none", max_retries=0) as made:
        yield made


def test_the_page(snippet: Snippet, server: Server) -> None:
    assert snippet("openai (Python)") == server.chat("pirate")


def test_a_chat_is_answered_by_the_adapter_that_model_names(
    client: Any, server: Server
) -> None:
    raw = client.chat.completions.with_raw_response.create(messages=HELLO, **GREEDY)
    answer = raw.parse()

    assert raw.headers["x-hotswap-adapter"] == answer.model == "pirate"
    assert raw.headers["x-hotswap-generation"] == answer.system_fingerprint
    assert answer.choices[0].message.content == server.chat("pirate")
    assert answer.usage.completion_tokens == 8


def test_a_stream_tells_the_same_and_its_usage(client: Any, server: Server) -> None:
    chunks = list(
        client.chat.completions.create(
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
            **GREEDY,
        )
    )

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == server.chat("pirate")
    assert chunks[-1].usage.completion_tokens == 8
    assert {chunk.model for chunk in chunks} == {"pirate"}


def test_the_asynchronous_client_asks_two_adapters_at_once(server: Server) -> None:
    async def both() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.v1, api_key="none") as client:
            create: Any = client.chat.completions.create
            answers = await asyncio.gather(
                *(
                    create(messages=HELLO, **GREEDY | {"model": name})
                    for name in ("pirate", "sql")
                )
            )
            return [one.choices[0].message.content for one in answers]

    assert asyncio.run(both()) == [server.chat("pirate"), server.chat("sql")]


def test_n_choices_and_penalties(client: Any) -> None:
    answer = client.chat.completions.create(
        messages=HELLO,
        n=3,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logit_bias={"65": -100},
        **GREEDY | {"temperature": 1, "seed": 7},
    )
    assert len({choice.message.content for choice in answer.choices}) == 3


def test_a_chats_log_probabilities(client: Any) -> None:
    answer = client.chat.completions.create(
        messages=HELLO, logprobs=True, top_logprobs=3, **GREEDY
    )
    told = answer.choices[0].logprobs.content
    assert len(told) == 8
    for token in told:
        assert len(token.top_logprobs) == 3
        assert token.logprob == token.top_logprobs[0].logprob <= 0
        assert token.token == token.top_logprobs[0].token


def test_a_completions_log_probabilities_with_its_prompt(client: Any) -> None:
    answer = client.completions.create(prompt="Hello", echo=True, logprobs=2, **GREEDY)
    told = answer.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == 5 + 8
    assert told.token_logprobs[0] is None
    assert told.text_offset[:5] == [0, 1, 2, 3, 4]
    assert answer.choices[0].text.startswith("Hello")


def test_parse_returns_the_model_that_was_asked_for(client: Any) -> None:
    answer = client.chat.completions.parse(messages=HELLO, response_format=Mood, **LONG)
    assert isinstance(answer.choices[0].message.parsed, Mood)
    assert answer.model == "pirate"


def test_a_json_object(client: Any) -> None:
    answer = client.chat.completions.create(
        messages=HELLO,
        response_format={"type": "json_object"},
        **LONG,
    )
    choice = answer.choices[0]
    if choice.finish_reason == "stop":  # a model of noise may never close its object
        assert isinstance(json.loads(choice.message.content), dict)
    assert choice.message.content.lstrip()[0] == "{"


def test_the_streaming_helper_parses_as_it_goes(client: Any) -> None:
    with client.chat.completions.stream(
        messages=HELLO, response_format=Mood, **LONG
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert isinstance(final.choices[0].message.parsed, Mood)


TOOLS = [openai.pydantic_function_tool(Weather)]
FORCED: list[Any] = [
    "required",
    {"type": "function", "function": {"name": "Weather"}},
]


@pytest.mark.parametrize("choice", FORCED, ids=["required", "named"])
def test_a_forced_call_is_parsed(client: Any, choice: Any) -> None:
    answer = client.chat.completions.parse(
        messages=HELLO, tools=TOOLS, tool_choice=choice, **LONG
    )
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "Weather"
    assert isinstance(call.function.parsed_arguments, Weather)


def test_a_forced_call_streams_its_arguments(client: Any) -> None:
    with client.chat.completions.stream(
        messages=HELLO, tools=TOOLS, tool_choice="required", **LONG
    ) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.delta" in kinds
    assert isinstance(message.tool_calls[0].function.parsed_arguments, Weather)


def test_a_conversation_goes_on_after_a_call(client: Any) -> None:
    answer = client.chat.completions.parse(
        messages=HELLO, tools=TOOLS, tool_choice="required", **LONG
    )
    call = answer.choices[0].message
    again = client.chat.completions.create(
        messages=[
            *HELLO,
            call,
            {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "18"},
        ],
        tools=TOOLS,
        **GREEDY,
    )
    assert again.choices[0].message.content is not None
    assert again.model == "pirate"


def test_in_auto_a_model_that_calls_nothing_answers_in_words(client: Any) -> None:
    answer = client.chat.completions.create(messages=HELLO, tools=TOOLS, **GREEDY)
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].message.content is not None
    assert answer.model == "pirate"


RESPONSE: dict[str, Any] = {
    "model": "pirate",
    "temperature": 0,
    "store": False,
    "input": "Hello",
}


def test_a_response(client: Any, server: Server) -> None:
    answer = client.responses.create(max_output_tokens=8, **RESPONSE)
    assert answer.output_text == server.chat("pirate")
    assert answer.model == "pirate"
    assert answer.usage.output_tokens == 8


def test_a_streamed_response(client: Any, server: Server) -> None:
    events = list(client.responses.create(max_output_tokens=8, stream=True, **RESPONSE))
    told = [one.delta for one in events if one.type == "response.output_text.delta"]
    assert "".join(told) == server.chat("pirate")
    assert events[0].type == "response.created"
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output_text == "".join(told)


def test_the_streaming_helper_of_responses(client: Any) -> None:
    with client.responses.stream(
        text_format=Mood, max_output_tokens=400, **RESPONSE
    ) as stream:
        assert "response.output_text.delta" in {event.type for event in stream}
        assert isinstance(stream.get_final_response().output_parsed, Mood)


def test_a_parsed_response(client: Any) -> None:
    answer = client.responses.parse(text_format=Mood, max_output_tokens=400, **RESPONSE)
    assert isinstance(answer.output_parsed, Mood)


def test_a_response_that_has_to_call(client: Any) -> None:
    tool = {
        "type": "function",
        "name": "Weather",
        "parameters": Weather.model_json_schema(),
        "strict": False,
    }
    answer = client.responses.create(
        tools=[tool], tool_choice="required", max_output_tokens=400, **RESPONSE
    )
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [call.name for call in calls][:1] == ["Weather"]
    Weather.model_validate_json(calls[0].arguments)


def test_what_this_server_is_not_is_a_404_that_says_so(client: Any) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="pirate", input="Hello")


def test_an_unknown_adapter_is_the_clients_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(messages=HELLO, **GREEDY | {"model": "nope"})
    assert caught.value.body["param"] == "model"  # type: ignore[index]
