"""Tool parsers: the same is said however a text is cut into pieces."""

import json
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from hotswap.api.openai.tool_parsers.hermes import Hermes
from hotswap.api.openai.tool_parsers.json_calls import JsonCalls, Llama3
from hotswap.api.openai.tool_parsers.mistral import Mistral
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser
from tests.hotswap.api.chat.parsing import read

# Pieces of formats, in any order: some make calls, most nearly do.
SCRAPS = [
    *('<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>', "<tool_call>"),
    *("</tool_call>", '{"name": "f", "parameters": {"x": [{}]}}', '{"name": "f"'),
    *('"arguments"', '"name": "g"', ": {", "{", "}", "[", "]", ",", ";", ":", '"', " "),
    *("\n", "\\", "```json", "```", "`", "[TOOL_CALLS]", "[TOOL_CALLS]f{", "[ARGS]"),
    *("<|python_tag|>", "[CALL_ID]a", "<", "null", "1", "f", "text", '{"a": 1}'),
]


@pytest.mark.parametrize("kind", [Hermes, Llama3, Mistral, JsonCalls])
@settings(max_examples=60, deadline=None)
@given(scraps=st.lists(st.sampled_from(SCRAPS), max_size=12), data=st.data())
def test_however_a_text_is_cut_the_same_is_said(
    kind: type[ToolParser], scraps: list[str], data: st.DataObject
) -> None:
    text = "".join(scraps)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]

    whole = read(kind, [text])

    assert read(kind, pieces) == whole
    assert read(kind, [*text, ""]) == whole
    if not whole[1]:  # nothing is lost
        assert whole[0] == text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(arguments=st.dictionaries(st.text(max_size=4), VALUES, max_size=3))
def test_any_arguments_come_out_as_they_were_written(arguments: dict[str, Any]) -> None:
    written = json.dumps(arguments)
    text = f'{{"name": "f", "arguments": {written}}}'

    for kind, call in (
        (Hermes, f"<tool_call>\n{text}\n</tool_call>"),
        (Llama3, text),
        (Mistral, f"[TOOL_CALLS][{text}]"),
        (Mistral, f"[TOOL_CALLS]f{written}"),
        (JsonCalls, f"```json\n[{text}]\n```"),
    ):
        assert read(kind, [call]) == ("", [("f", written)])
        assert read(kind, [*call]) == ("", [("f", written)])
