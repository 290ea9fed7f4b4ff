"""Reasoning is told apart from the answer, whole and in pieces of any size."""

from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.openai.reasoning import ReasoningParser
from tests.hotswap.api.chat.speaking import HERMES, create, speaking

CALL = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'


def read(name: str, prompt: str, pieces: Sequence[str]) -> tuple[str, str]:
    parser = ReasoningParser(name, prompt)
    told = [
        parser.push(piece, is_last=number == len(pieces))
        for number, piece in enumerate(pieces, 1)
    ]
    return "".join(each[0] for each in told), "".join(each[1] for each in told)


OPEN, CLOSED = "user: hi\n<think>\n", "user: hi\n<think>\n\n</think>\n\n"
CASES = [
    ("deepseek_r1", "", "<think>\nhm\n</think>\n\nyes", ("\nhm\n", "\n\nyes")),
    ("deepseek_r1", "", "hm</think>yes", ("hm", "yes")),
    ("deepseek_r1", "", "hm", ("hm", "")),
    ("deepseek-r1", OPEN, "hm</think>yes", ("hm", "yes")),
    ("deepseek_r1", CLOSED, "yes", ("", "yes")),
    ("qwen3", "", "<think>\nhm\n</think>\n\nyes", ("\nhm\n", "\n\nyes")),
    ("qwen3", "", "\n <think>hm</think>yes", ("hm", "yes")),
    ("qwen3", "", "yes", ("", "yes")),
    ("qwen3", "", " yes <think>no</think>", ("", " yes <think>no</think>")),
    ("qwen3", "", "<thin", ("", "<thin")),
    ("qwen3", "", "<think>hm", ("hm", "")),
    ("qwen3", "", "<think>hm</thin", ("hm</thin", "")),
    ("qwen3", "", "<think>a</think>b<think>c</think>", ("a", "b<think>c</think>")),
    ("qwen3", OPEN, "hm</think>yes", ("hm", "yes")),
    ("qwen3", OPEN, "<think>hm</think>yes", ("hm", "yes")),
    ("qwen3", CLOSED, "yes", ("", "yes")),
    ("qwen3", "", "", ("", "")),
    ("qwen3", "", " ", ("", " ")),
]


@pytest.mark.parametrize(("name", "prompt", "text", "said"), CASES)
def test_thought_and_answer_are_told_apart(
    name: str, prompt: str, text: str, said: tuple[str, str]
) -> None:
    assert read(name, prompt, [text]) == said
    assert read(name, prompt, [*text, ""]) == said


SCRAPS = ["<think>", "</think>", "<", "think>", "/think>", "a", " ", "\n", CALL]


@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3"])
@pytest.mark.parametrize("prompt", ["", OPEN, CLOSED])
@settings(max_examples=100, deadline=None)
@given(scraps=st.lists(st.sampled_from(SCRAPS), max_size=8))
def test_however_a_text_is_cut_the_same_is_thought(
    name: str, prompt: str, scraps: list[str]
) -> None:
    text = "".join(scraps)

    assert read(name, prompt, [*text, ""]) == read(name, prompt, [text])


def test_reasoning_has_both_of_vllms_names_and_goes_with_calls() -> None:
    with speaking(HERMES, reasoning_parser="qwen3") as server:
        server.says(f"<think>hm {CALL}</think>\n\n{CALL}")
        (choice,) = create(server).choices
        chunks = [chunk.choices[0].delta for chunk in create(server, stream=True)]
        assert server.engine.messages[-1].params.skips_special is False

    message = choice.message
    assert message.reasoning == message.reasoning_content == f"hm {CALL}"
    assert message.content is None
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in message.tool_calls] == ["get_time"]
    thought = [chunk.model_extra.get("reasoning_content", "") for chunk in chunks]
    assert "".join(thought) == f"hm {CALL}"
    assert "".join(chunk.content or "" for chunk in chunks) == ""
    assert sum(1 for each in thought if each) > 3


def test_an_adapters_sidecar_says_it_for_its_own_answers_alone() -> None:
    with speaking(HERMES) as server:
        server.library.sidecars["own"] = Sidecar(reasoning_parser="deepseek_r1")
        server.says("hm</think>yes")
        plain = create(server, tools=None).choices[0].message
        own = create(server, model="own", tools=None).choices[0].message
        silent = (
            create(server, model="own", extra_body={"include_reasoning": False})
            .choices[0]
            .message
        )

    assert plain.content == "hm</think>yes"
    assert (own.reasoning_content, own.content) == ("hm", "yes")
    assert silent.content == "yes"
    assert not hasattr(silent, "reasoning_content")


@pytest.mark.parametrize(
    ("thinks", "reasoning", "content"),
    [
        (True, "hm", "yes"),
        (False, None, "hm</think>yes"),
        (None, None, "hm</think>yes"),
    ],
)
def test_what_the_template_opens_or_closes_counts(
    thinks: bool | None, reasoning: str | None, content: str
) -> None:
    with speaking(HERMES, reasoning_parser="qwen3") as server:
        server.says("hm</think>yes")
        variables = {} if thinks is None else {"thinks": thinks}
        body = {"chat_template_kwargs": variables}
        message = create(server, tools=None, extra_body=body).choices[0].message

    assert getattr(message, "reasoning_content", None) == reasoning
    assert message.content == content


def test_a_forced_call_has_no_reasoning() -> None:
    with speaking(HERMES, reasoning_parser="deepseek_r1") as server:
        server.says('[{"name": "get_time", "parameters": {}}]')
        message = create(server, tool_choice="required").choices[0].message

    assert [call.function.name for call in message.tool_calls] == ["get_time"]
