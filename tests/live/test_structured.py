"""Structured output over HTTP: OpenAI's client parses it; a hostile one is alone."""

import json
import threading
import time
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.servers import Live

USER: Any = [{"role": "user", "content": "Hello"}]


class Verdict(BaseModel):
    sentiment: Literal["positive", "negative"]
    stars: Literal[1, 2, 3]
    tags: list[Literal["long", "short"]] | None


@pytest.fixture(scope="module")
def client(live: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize("model", ["tiny", "a0"])
def test_openai_parses_a_model_of_pydantic(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(
        model=model,
        messages=USER,
        response_format=Verdict,
        seed=1,
        max_tokens=400,
    )

    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Verdict)


def test_a_stream_of_json_is_json(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="a1",
        messages=USER,
        response_format=Verdict,
        temperature=1,
        seed=2,
        max_tokens=400,
    ) as stream:
        final = stream.get_final_completion()

    assert isinstance(final.choices[0].message.parsed, Verdict)


def test_vllms_fields_hold_completions_and_their_copies(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="tiny",
        prompt=["a", "b"],
        n=2,
        seed=3,
        max_tokens=30,
        extra_body={"structured_outputs": {"choice": ["yes", "no"]}},
    )

    assert {choice.text for choice in answer.choices} <= {"yes", "no"}
    assert [choice.finish_reason for choice in answer.choices] == ["stop"] * 4


def test_what_the_library_refuses_is_400_with_its_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="unclosed group") as caught:
        client.completions.create(
            model="tiny", prompt="a", extra_body={"guided_regex": "(a"}
        )

    assert caught.value.param == "guided_regex"


HOSTILE: list[dict[str, Any]] = [
    {"guided_json": {"enum": [f"value number {n}" for n in range(9000)]}},
    {"guided_json": {"enum": ["x" * (1 << 20)]}},
    {"guided_json": json.loads('{"items":' * 300 + "{}" + "}" * 300)},
    {"guided_json": {"$ref": "#"}},
    {
        "guided_json": {
            "properties": {
                f"p{n}": {"type": "string", "pattern": f"^(a|b)*abb{{{n % 90}}}$"}
                for n in range(2000)
            }
        }
    },
    {"guided_regex": "(a|a)*" * 2000},
    {"guided_regex": "(.{1,1000}){1,1000}"},
    {"guided_grammar": "root ::= " + "(" * 50_000},
]


def test_hostile_sources_hold_up_no_stream(live: Live, client: openai.OpenAI) -> None:
    """Gaps of a stream beside them stay far below what any of them takes to compile."""
    codes: list[int] = []

    def ask() -> None:
        with live.client() as http:
            for body in HOSTILE:
                asked = {"prompt": "a", "max_tokens": 2, **body}
                codes.append(http.post("/v1/completions", json=asked).status_code)

    attackers = [threading.Thread(target=ask) for _ in range(3)]
    gaps, last = [], None
    with client.completions.create(
        model="a0",
        prompt="a",
        max_tokens=300,
        stream=True,
        extra_body={"ignore_eos": True},
    ) as stream:
        for number, _ in enumerate(stream):
            now = time.monotonic()
            if last is not None:
                gaps.append(now - last)
            last = now
            if number == 1:
                for attacker in attackers:
                    attacker.start()
    for attacker in attackers:
        attacker.join(60)

    assert len(codes) == 3 * len(HOSTILE)
    assert set(codes) <= {200, 400}
    assert max(gaps) < 2
