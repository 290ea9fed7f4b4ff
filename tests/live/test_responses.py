"""/v1/responses of whole servers: an echo, and a tiny model with its adapters."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from hotswap import config
from hotswap.echo import app
from tests.servers import NO_TLS, Live


class Verdict(BaseModel):
    sentiment: str
    sure: bool


def client_of(live: Live) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{live.url}/v1",
        api_key="none",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=NO_TLS),
    )


@pytest.fixture(scope="module")
def echo() -> Iterator[openai.OpenAI]:
    told = {"model": {"path": "echo", "tool_parser": "hermes"}}
    with Live(app.build(config.load(None, told))) as live, client_of(live) as client:
        yield client


def test_an_echo_says_it_whole_and_streamed(echo: openai.OpenAI) -> None:
    body: dict[str, Any] = {"model": "echo", "input": "Ahoy é"}
    whole = echo.responses.create(**body)
    with echo.responses.stream(**body) as stream:
        final = stream.get_final_response()

    assert whole.output_text == final.output_text == "Ahoy é"
    assert whole.usage is not None
    assert final.usage is not None
    assert whole.usage.total_tokens == final.usage.total_tokens


def test_a_form_is_kept(echo: openai.OpenAI) -> None:
    answer = echo.responses.parse(model="echo", input="x", text_format=Verdict)

    assert isinstance(answer.output_parsed, Verdict)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "name": "f"}], ids=str
)
def test_a_forced_call_fits_its_schema(echo: openai.OpenAI, choice: Any) -> None:
    schema = Verdict.model_json_schema()
    tool: Any = {"type": "function", "name": "f", "parameters": schema, "strict": True}

    answer = echo.responses.create(
        model="echo", input="x", tools=[tool], tool_choice=choice
    )

    (call,) = answer.output
    assert call.type == "function_call"
    Verdict.model_validate_json(call.arguments)


@pytest.mark.slow
def test_an_adapter_says_what_it_says_in_a_chat(live: Live) -> None:
    with client_of(live) as client:
        body: dict[str, Any] = {"model": "a1", "temperature": 0}
        chat = client.chat.completions.create(
            **body,
            max_completion_tokens=8,
            messages=[{"role": "user", "content": "Hello"}],
            logprobs=True,
        )
        asked = {**body, "input": "Hello", "max_output_tokens": 8}
        include: Any = ["message.output_text.logprobs"]
        whole = client.responses.create(**asked, include=include)
        with client.responses.stream(**asked, include=include) as stream:
            deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]

    message: Any = whole.output[0]
    logprobs: Any = chat.choices[0].logprobs
    assert whole.model == "a1"
    assert whole.output_text == chat.choices[0].message.content == "".join(deltas)
    told = [each.logprob for each in message.content[0].logprobs]
    assert told == pytest.approx([each.logprob for each in logprobs.content], abs=1e-4)
    assert whole.usage is not None
    assert chat.usage is not None
    assert whole.usage.input_tokens == chat.usage.prompt_tokens
