"""Strangers' chat templates: what transformers renders, and whatever they do, within
bounds."""

import time
from collections.abc import Iterator

import pytest

from hotswap.errors import BadRequest
from hotswap.templates import Renderer
from tests import tiny
from tests.hotswap.renderers import ENDLESS, MESSAGES, PLAIN, brief, is_running

# What the templates of published models use, and some that only transformers adds
TEMPLATES = [
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{{ bos_token }}{% for m in messages if m.role != 'tool' %}{{ loop.index0 }}"
    "{{ '[INST] ' + (m.content or '') | trim + ' [/INST]' }}{{ eos_token }}"
    "{% endfor %}",
    "{%- set ns = namespace(n=0, last='') -%}\n{%- for m in messages -%}\n"
    "  {%- set ns.n = ns.n + 1 -%}{%- if m.tool_calls is defined -%}"
    "{{ m.tool_calls | tojson(indent=2) }}{%- continue -%}{%- endif -%}\n"
    "  {%- if ns.n > 4 -%}{%- break -%}{%- endif -%}\n{%- endfor -%}{{ ns.n }}",
    "{% macro say(m) %}{{ m.role | upper }}: {{ m.content | default('-', true) }}"
    "{% endmacro %}{% for m in messages %}{{ say(m) }}\n{% endfor %}",
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% endfor %}",
    "{{ messages[-1].reasoning_content }} {{ messages[-1].thinking }}",
    "{{ tools }} {{ documents }} {{ messages | tojson }} {{ dict(a=1) | tojson }}",
    "{{ messages[0].content.split(' ')[0] }}{{ messages[1:] | length }}"
    "{{ range(3) | list }}{{ (1, 2) }}{{ strftime_now('%Y')[:2] }}",
    "    {% if true %}\n  kept\n    {% endif %}\n\nend",
    "{{ pad_token }}{{ nothing }}{{ messages[0].nothing is defined }}"
    "{{ cycler is defined }}",
]
REFUSED = [
    "{{ raise_exception('roles must alternate') }}",
    "{{ messages[0].nothing.more }}",
    "{% for m in messages %}",
    "{{ namespace(_x=1) }}",
    "{{ messages.append(1) }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages[0] | no_such_filter }}",
    "{{ nothing() }}",
    "{{ '\\ud800' }}",
]
TOO_MUCH = [
    "{{ 'x' * 99999999999 }}",
    "{{ 9 ** 99999 }}",
    "{{ '%099999999999d' % 1 }}",
    "{{ '{:>99999999999}'.format(1) }}",
    "{{ 'x' | center(9999999999) }}",
    "{{ [0] * 999999999 }}",
    "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}",
    "{{ " + "[" * 300 + "]" * 300 + " }}",
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


def theirs(template: str) -> str:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    text = tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, tokenize=False
    )
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_renders_what_transformers_renders(
    template: str, shared: Renderer
) -> None:
    names = tiny.tokenizer().special_tokens_map

    assert shared.render(template, MESSAGES, names) == theirs(template)


@pytest.mark.parametrize("template", REFUSED)
def test_what_transformers_refuses_is_the_requests_error(
    template: str, shared: Renderer
) -> None:
    try:
        theirs(template).encode()
    except Exception:
        pass
    else:
        pytest.fail("transformers renders it")

    with pytest.raises(BadRequest, match=r"the chat template says: .") as refused:
        shared.render(template, MESSAGES, {})

    assert refused.value.field == "messages"
    assert shared.render(PLAIN, MESSAGES, {}) == MESSAGES[0]["content"]


@pytest.mark.parametrize("template", TOO_MUCH, ids=lambda template: template[:40])
def test_whatever_a_template_makes_too_much_of_is_refused_at_once(
    template: str, shared: Renderer
) -> None:
    with pytest.raises(BadRequest, match="the chat template says: "):
        shared.render(template, MESSAGES, {})

    assert shared.render(PLAIN, MESSAGES, {}) == MESSAGES[0]["content"]


@pytest.mark.parametrize("template", ENDLESS)
def test_a_template_that_never_ends_is_ended_and_not_tried_again(template: str) -> None:
    renderer = brief()
    renderer.render(PLAIN, MESSAGES, {})
    (child,) = renderer.children

    with pytest.raises(BadRequest, match=r"more than 0\.5 s; it was ended"):
        renderer.render(template, MESSAGES, {})
    start = time.monotonic()
    with pytest.raises(BadRequest, match="not tried again for 30 s"):
        renderer.render(template, MESSAGES, {})

    assert time.monotonic() - start < 0.25
    assert not is_running(child)
    assert renderer.render(PLAIN, MESSAGES, {}) == MESSAGES[0]["content"]
    renderer.close()


def test_a_long_chat_that_is_ended_takes_the_template_from_no_short_one() -> None:
    renderer = brief()
    slow_if_long = (
        "{% for m in messages %}{% for n in messages %}{% for o in messages %}"
        "{% endfor %}{% endfor %}{% endfor %}{{ messages[0].content }}"
    )
    long = MESSAGES[:1] * 2000

    with pytest.raises(BadRequest, match="it was ended"):
        renderer.render(slow_if_long, long, {})
    with pytest.raises(BadRequest, match="but for a shorter conversation"):
        renderer.render(slow_if_long, long, {})

    assert renderer.render(slow_if_long, MESSAGES, {}) == MESSAGES[0]["content"]
    renderer.close()
