"""What a template is told beside the messages: as transformers does it, in the process
for strangers' templates and in ours."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from hotswap.errors import BadRequest
from hotswap.template_options import RESERVED, TemplateOptions
from hotswap.templates import RENDERER, Renderer
from hotswap.tokenizer import Tokenizer
from tests import tiny
from tests.hotswap.api.chat.speaking import HERMES, IGNORES, LLAMA3, MISTRAL, TOOLS

USER = {"role": "user", "content": "How is Rome? "}
CALL = {"name": "get_weather", "arguments": {"city": "Rome"}}
ASKED: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    USER,
    {
        "role": "assistant",
        "tool_calls": [{"id": "abcdefghi", "type": "function", "function": CALL}],
    },
    {"role": "tool", "content": "sunny", "tool_call_id": "abcdefghi"},
]
CONTINUED = [USER, {"role": "assistant", "content": "It is \n"}]
TRIMS = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}{% endfor %}</s>"
SHOWS_ALL = (
    "{{ tools }}{{ documents }}{{ add_generation_prompt }}{{ bos_token }}"
    "{{ enable_thinking is defined and not enable_thinking }}{{ messages | length }}"
)
DOCUMENTS = [{"title": "Rome", "text": "A city."}]
CASES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    (HERMES, ASKED, {"tools": TOOLS}),
    (LLAMA3, ASKED, {"tools": TOOLS}),
    (MISTRAL, ASKED, {"tools": TOOLS}),
    (HERMES, [USER], {"tools": TOOLS, "variables": {"thinks": False}}),
    (HERMES, [USER], {"add_generation_prompt": False}),
    (SHOWS_ALL, [USER], {"documents": DOCUMENTS}),
    (SHOWS_ALL, [USER], {"variables": {"enable_thinking": False, "bos_token": "B"}}),
    (SHOWS_ALL, [USER], {"tools": TOOLS, "add_generation_prompt": False}),
    *(
        (template, messages, {"continue_final_message": True})
        for template in (HERMES, IGNORES, TRIMS, "{{ messages[-1].content }} end")
        for messages in ([USER], CONTINUED, [{"role": "user", "content": "a  "}])
    ),
]
REFUSED: list[tuple[str, list[dict[str, Any]]]] = [
    ("{{ messages[0].content }}", CONTINUED),  # it does not come out
    ("nothing", [USER]),
    (HERMES, ASKED[:3]),  # there is nothing to continue
    ("{{ messages[-1].content[:3] }}", CONTINUED),
]


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer()
    yield made
    made.close()
    RENDERER.close()


def options_of(said: dict[str, Any]) -> TemplateOptions:
    if said.get("continue_final_message"):
        said = {"add_generation_prompt": False, **said}
    return TemplateOptions(**said)


def theirs(
    template: str, messages: list[dict[str, Any]], options: TemplateOptions
) -> str:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, **options.named(), **options.variables
    )
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(("template", "messages", "said"), CASES)
def test_options_mean_what_they_mean_to_transformers(
    template: str,
    messages: list[dict[str, Any]],
    said: dict[str, Any],
    renderer: Renderer,
) -> None:
    options = options_of(said)
    inner = tiny.tokenizer()
    names = inner.special_tokens_map
    inner.chat_template = template

    expected = theirs(template, messages, options)

    assert renderer.render(template, messages, names, options) == expected
    assert Tokenizer(inner).render(messages, None, options) == expected
    assert Tokenizer(tiny.tokenizer()).render(messages, template, options) == expected


@pytest.mark.parametrize(("template", "messages"), REFUSED)
def test_what_cannot_be_continued_is_the_requests_error(
    template: str, messages: list[dict[str, Any]], renderer: Renderer
) -> None:
    options = options_of({"continue_final_message": True})
    with pytest.raises(ValueError, match="continue_final_message"):
        theirs(template, messages, options)

    with pytest.raises(BadRequest, match="the chat template says: "):
        renderer.render(template, messages, {}, options)


def test_no_variable_may_have_the_name_of_a_parameter_of_transformers() -> None:
    told = inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters

    assert {*told} - {"kwargs"} <= RESERVED


def test_a_template_that_does_not_show_tools_is_told_them_in_words_or_refused() -> None:
    inner = tiny.tokenizer()
    inner.chat_template = IGNORES
    tokenizer = Tokenizer(inner)

    def rendered(messages: list[dict[str, Any]], text: str | None) -> str:
        options = TemplateOptions(tools=TOOLS, tools_text=text)
        return tokenizer.render(messages, None, options)

    plain = tokenizer.render([USER])
    system = {"role": "system", "content": "WORDS"}
    both = {"role": "developer", "content": "WORDS\n\nBe brief."}
    assert rendered([USER], "") == plain
    assert rendered([USER], "WORDS") == tokenizer.render([system, USER])
    assert rendered([{**both, "content": "Be brief."}, USER], "WORDS") == (
        tokenizer.render([both, USER])
    )
    with pytest.raises(BadRequest, match="does not show `tools`") as refused:
        rendered([USER], None)
    assert refused.value.field == "tools"


def test_a_template_that_shows_tools_is_told_no_words() -> None:
    inner = tiny.tokenizer()
    inner.chat_template = HERMES
    told = TemplateOptions(tools=TOOLS, tools_text="WORDS")

    text = Tokenizer(inner).render([USER], None, told)

    assert "get_weather" in text
    assert "WORDS" not in text


def test_of_several_templates_the_one_for_tools_is_taken_where_there_are_some() -> None:
    inner = tiny.tokenizer()
    inner.chat_template = {"default": IGNORES, "tool_use": HERMES}
    tokenizer = Tokenizer(inner)
    with_tools = TemplateOptions(tools=TOOLS)

    assert tokenizer.template_for(TemplateOptions()) == IGNORES
    assert tokenizer.template_for(with_tools) == HERMES
    assert tokenizer.render([USER]) == theirs(IGNORES, [USER], TemplateOptions())
    assert tokenizer.render([USER], None, with_tools) == theirs(
        HERMES, [USER], with_tools
    )
