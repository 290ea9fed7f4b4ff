"""Tool parsers: what models write as calls, whole and in pieces of any size."""

import pytest

from hotswap.api.openai.tool_parsers.choice import named, of_template
from hotswap.api.openai.tool_parsers.forced import ForcedFunction
from hotswap.api.openai.tool_parsers.hermes import Hermes
from hotswap.api.openai.tool_parsers.json_calls import JsonCalls, Llama3
from hotswap.api.openai.tool_parsers.mistral import Mistral
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser
from hotswap.parser_names import ALIASES, TOOL_PARSERS
from tests.hotswap.api.chat import speaking
from tests.hotswap.api.chat.parsing import NAMES, Said, read

F, G = ("f", '{"x": 1}'), ("g", "{}")

HERMES = [
    ('<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>', ("", [F])),
    (
        'Let me look.\n\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n'
        '</tool_call>\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
        ("Let me look.", [F, G]),
    ),
    ('<tool_call>{"arguments": {"x": 1}, "name": "f"}</tool_call>', ("", [F])),
    ('<tool_call>{"name": "g"}</tool_call>', ("", [G])),
    ('<tool_call>{"name": "g", "arguments": null}</tool_call>', ("", [G])),
    ('<tool_call>{"name": "other", "arguments": {}}', ("", [("other", "{}")])),
    ('<tool_call>{"name": "f", "arguments": {"x": 1}</tool_call>', ("", [F])),
    (
        '<tool_call>{"name": "f", "arguments": {"s": "a</tool_call>\\"}"}}</tool_call>',
        ("", [("f", '{"s": "a</tool_call>\\"}"}')]),
    ),
    (
        '<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>\nDone.',
        ("Done.", [F]),
    ),
    (
        'So:\n<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>\nDone.',
        ("So:\nDone.", [F]),
    ),
    ("1 < 2 and <tool> \n", ("1 < 2 and <tool> \n", [])),
    ("<tool_call>f(x=1)</tool_call>", ("<tool_call>f(x=1)</tool_call>", [])),
    ('<tool_call>{"name": 1}</tool_call>', ('<tool_call>{"name": 1}</tool_call>', [])),
    (
        '<tool_call>{"name": "f", "arguments": "x"}',
        ('<tool_call>{"name": "f", "arguments": "x"}', []),
    ),
    (
        '<tool_call><tool_call>{"name": "f", "arguments": {"x": 1}}',
        ("<tool_call>", [F]),
    ),
    # Cut off, and wrong: told as it is written
    ('<tool_call>{"name": "f", "argu', ('<tool_call>{"name": "f", "argu', [])),
    ('<tool_call>{"name": "f", "arguments": {"x', ("", [("f", '{"x')])),
    ("Hm <tool_", ("Hm <tool_", [])),
    (
        '<tool_call>{"name": "f", "arguments": {"x": [1}\n</tool_call> ok',
        ("ok", [("f", '{"x": [1}\n')]),
    ),
]
LLAMA3 = [
    ('{"name": "f", "parameters": {"x": 1}}', ("", [F])),
    ('<|python_tag|>{"name": "f", "parameters": {"x": 1}}', ("", [F])),
    (
        '{"name": "f", "parameters": {"x": 1}}; {"name": "g", "parameters": {}}',
        ("", [F, G]),
    ),
    ('{"type": "function", "name": "f", "parameters": {"x": 1}}', ("", [F])),
    ('I call {"name": "f", "arguments": {"x": 1}}', ("I call", [F])),
    ('{"name": "Bob", "parameters": {}}', ('{"name": "Bob", "parameters": {}}', [])),
    ('{"name": "f", "age": 3}', ('{"name": "f", "age": 3}', [])),
    ("{}", ("{}", [])),
    ('{"a": [{"name": "g"}]}', ('{"a": [{"name": "g"}]}', [])),
    (
        '{"name": "Bob", "b": {"name": "g"}}',
        ('{"name": "Bob", "b": {"name": "g"}}', []),
    ),
    ('{"a": "}"} {"name": "g"}', ('{"a": "}"}', [G])),
    ('a { b {"name": "g"}', ("a { b", [G])),
    ("<|python_tag|>print(1)", ("<|python_tag|>print(1)", [])),
]
MISTRAL = [
    ('[TOOL_CALLS][{"name": "f", "arguments": {"x": 1}}]', ("", [F])),
    (
        '[TOOL_CALLS] [{"name": "f", "arguments": {"x": 1}, "id": "a"}, '
        '{"name": "g", "arguments": {}}]',
        ("", [F, G]),
    ),
    ('Well.[TOOL_CALLS]f{"x": 1}[TOOL_CALLS]g{}', ("Well.", [F, G])),
    ('[TOOL_CALLS]f[CALL_ID]abc[ARGS]{"x": 1}', ("", [F])),
    ('[TOOL_CALLS]f[ARGS]{"x": 1}', ("", [F])),
    ('[TOOL_CALLS]{"name": "f", "arguments": {"x": 1}}', ("", [F])),
    ("[TOOL_CALLS][]", ("[TOOL_CALLS][]", [])),
    ("[TOOL_CALLS]no call", ("[TOOL_CALLS]no call", [])),
    ("[TOOL_CALLS]", ("[TOOL_CALLS]", [])),
    ("a list [1, 2]", ("a list [1, 2]", [])),
]
JSON = [
    ('{"name": "f", "arguments": {"x": 1}}', ("", [F])),
    ('[{"name": "f", "arguments": {"x": 1}}, {"name": "g"}]', ("", [F, G])),
    (
        'Here:\n```json\n{"name": "f", "parameters": {"x": 1}}\n```\nOk?',
        ("Here:\n\nOk?", [F]),
    ),
    ('```python\nx = {"a": [1]}\n```', ('```python\nx = {"a": [1]}\n```', [])),
    ("[1, 2] {x}", ("[1, 2] {x}", [])),
]
CASES = [
    *((Hermes, *case) for case in HERMES),
    *((Llama3, *case) for case in LLAMA3),
    *((Mistral, *case) for case in MISTRAL),
    *((JsonCalls, *case) for case in JSON),
]


@pytest.mark.parametrize(("kind", "text", "said"), CASES)
def test_what_a_model_writes_is_read_whole_and_character_by_character(
    kind: type[ToolParser], text: str, said: Said
) -> None:
    assert read(kind, [text]) == said
    assert read(kind, [*text]) == said


def test_a_name_is_told_as_soon_as_its_arguments_begin_and_they_as_they_come() -> None:
    parser = Hermes(NAMES)

    assert parser.push('<tool_call>{"name": "f", "arguments": ', is_last=False) == []
    first, second = parser.push('{"x"', is_last=False)
    (third,) = parser.push(": 1", is_last=False)

    assert first.call is not None
    assert (first.call.name, first.call.arguments) == ("f", "")
    assert [each.call and each.call.arguments for each in (second, third)] == [
        '{"x"',
        ": 1",
    ]


def test_a_function_that_was_named_gets_all_of_the_text() -> None:
    parser = ForcedFunction(frozenset({"f"}))

    deltas = [*parser.push('{"x', is_last=False), *parser.push('": 1}', is_last=True)]

    calls = [delta.call for delta in deltas if delta.call]
    assert [call.name for call in calls] == ["f", "", ""]
    assert "".join(call.arguments for call in calls) == '{"x": 1}'


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        (speaking.HERMES, Hermes),
        (speaking.LLAMA3, Llama3),
        (speaking.MISTRAL, Mistral),
        (speaking.JSON, JsonCalls),
        (speaking.UNKNOWN, None),
        (speaking.IGNORES, None),
        ("", None),
    ],
)
def test_a_templates_text_says_how_its_model_writes_calls(
    template: str, kind: type[ToolParser] | None
) -> None:
    assert of_template(template) is kind


def test_every_name_that_an_operator_may_say_has_a_parser() -> None:
    kinds = {name: named(name) for name in TOOL_PARSERS}

    assert len({*kinds.values()}) == 4
    assert all(
        kinds[alias] is kinds[name] for alias, name in ALIASES.items() if alias in kinds
    )
