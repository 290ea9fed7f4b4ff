"""Grammars of the library alone: what they take, what they refuse, and their masks."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import BadRequest
from hotswap.grammar import Matcher
from hotswap.llguidance_grammar import CompiledGrammar, Vocabulary
from hotswap.tokenizer import Tokenizer
from tests import tiny
from tests.schemas import suite

TOKENIZER = Tokenizer(tiny.tokenizer())
VOCABULARY = Vocabulary(TOKENIZER, frozenset({tiny.EOS, 9999}), "field")
WORDS = (tiny.VOCAB + 31) // 32
# JSON that the library does not write though it fits: numbers in another spelling, and
# formats that it reads more narrowly.
MISSED = 40


def compiled(kind: str, source: object) -> CompiledGrammar:
    text = source if isinstance(source, str) else json.dumps(source)
    return CompiledGrammar(VOCABULARY, kind, text, "field")


def allowed(matcher: Matcher, words: int = WORDS) -> set[int]:
    mask = np.full(words, -1, np.int32)
    matcher.fill(mask)
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
    return set(np.flatnonzero(bits).tolist())


def takes(grammar: CompiledGrammar, text: str) -> bool:
    """Whether the whole text may be an answer."""
    matcher = grammar.matcher()
    for token in TOKENIZER.encode(text):
        if token not in allowed(matcher):
            return False
        assert matcher.accept(token)
    return tiny.EOS in allowed(matcher)


def test_what_fits_no_schema_of_the_suite_is_no_answer() -> None:
    missed = []
    for case in suite():
        grammar = compiled("json_schema", case["schema"])
        for instance in case["invalid"]:
            assert not takes(grammar, json.dumps(instance)), (case, instance)
        texts = [json.dumps(one, ensure_ascii=False) for one in case["valid"]]
        missed += [text for text in texts if not takes(grammar, text)]

    assert len(missed) <= MISSED
    assert len(suite()) > 200


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=6), min_size=1))
def test_a_choice_takes_each_of_its_texts_and_no_other(texts: list[str]) -> None:
    grammar = compiled("choice", texts)

    assert all(takes(grammar, text) for text in texts)
    assert not takes(grammar, max(texts, key=len) + "x")


@pytest.mark.parametrize(
    ("kind", "source", "good", "bad"),
    [
        ("json_object", "", '{"a": [1, null]}', "[1]"),
        ("regex", r"[a-z]+@[a-z]+\.com", "ab@cd.com", "ab@cd.org"),
        ("regex", r"^\d{3}$", "123", "1234"),
        ("grammar", 'start: "a" | "b" N\nN: /[0-9]+/', "b12", "a1"),
        ("grammar", 'root ::= "a" | "b" n\nn ::= [0-9]+', "b12", "a1"),
        ("json_schema", {"enum": ["\u00fc", "\U0001f642"]}, '"\U0001f642"', '"u"'),
    ],
)
def test_each_kind_takes_what_it_says(
    kind: str, source: object, good: str, bad: str
) -> None:
    grammar = compiled(kind, source)

    assert takes(grammar, good)
    assert not takes(grammar, bad)


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        ("json_schema", {"not": {"type": "string"}}, 'keys: ["not"]'),
        ("json_schema", {"type": "string", "format": "colour"}, "Unknown format"),
        ("json_schema", {"oneOf": [{"minimum": 1}, {"minimum": 0}]}, "oneOf"),
        ("json_schema", {"$ref": "#"}, "no answer fits it"),
        ("json_schema", {"$ref": "#/$defs/gone"}, "gone"),
        ("json_schema", {"$ref": "http://example.com/schema"}, "example.com"),
        ("json_schema", {"type": "integer", "minimum": 2, "maximum": 1}, ""),
        ("json_schema", '{"type"', "EOF"),
        ("json_schema", "true", ""),
        ("json_schema", "[" * 10_000, "recursion"),
        ("regex", "(a", "unclosed group"),
        ("regex", "(?=a)b", "look-around"),
        ("regex", r"(a)\1", "backreferences"),
        ("grammar", "start: gone", "gone"),
        ("grammar", "%%", ""),
        ("grammar", "root ::= " + "(" * 5000, ""),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(
    kind: str, source: object, reason: str
) -> None:
    with pytest.raises(BadRequest, match="`field`: ") as caught:
        compiled(kind, source)

    assert reason in str(caught.value)
    assert len(str(caught.value)) < 500
    assert caught.value.field == "field"


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("regex", "(a|a)*" * 20 + "x{1000}"),
        ("regex", "(.{1,1000}){1,1000}"),
        ("regex", "((((a{1,100}){1,100}){1,100}){1,100})"),
        ("json_schema", {"enum": [f"value number {n}" for n in range(9000)]}),
        ("json_schema", nested(40)),
        ("json_schema", nested(200)),
        (
            "json_schema",
            {
                "allOf": [
                    {"anyOf": [{"required": [f"k{n}{m}"]} for m in range(4)]}
                    for n in range(12)
                ]
            },
        ),
    ],
)
def test_a_hostile_source_is_compiled_or_refused_but_never_raises(
    kind: str, source: object
) -> None:
    try:
        matcher = compiled(kind, source).matcher()
    except BadRequest:
        return
    assert allowed(matcher)


def test_an_answer_ends_only_where_it_is_complete() -> None:
    matcher = compiled("json_schema", {"const": 12}).matcher()
    for token in TOKENIZER.encode("12"):
        assert tiny.EOS not in allowed(matcher)
        assert matcher.accept(token)

    assert allowed(matcher) == {tiny.EOS}


def test_jobs_of_one_grammar_do_not_see_each_other() -> None:
    grammar = compiled("choice", ["ab", "cd"])
    one, other = grammar.matcher(), grammar.matcher()
    one.accept(TOKENIZER.encode("a")[0])

    assert allowed(one) == set(TOKENIZER.encode("b"))
    assert allowed(other) == set(TOKENIZER.encode("ac"))


def test_tokens_of_no_meaning_are_never_allowed() -> None:
    matcher = compiled("regex", "(.|\n)*").matcher()

    padded = allowed(matcher, words=WORDS + 50)
    assert padded == allowed(matcher)
    assert max(padded) < tiny.VOCAB
    assert allowed(matcher, words=2) == {token for token in padded if token < 64}


def test_a_token_that_is_not_allowed_ends_the_grammar() -> None:
    matcher = compiled("choice", ["ab"]).matcher()

    assert not matcher.accept(TOKENIZER.encode("x")[0])
    assert allowed(matcher) == set()
    assert not matcher.accept(TOKENIZER.encode("a")[0])


def test_blanks_between_tokens_of_json_are_bounded() -> None:
    matcher = compiled("json_object", "").matcher()
    blank = TOKENIZER.encode(" ")[0]
    assert matcher.accept(TOKENIZER.encode("{")[0])

    count = 0
    while blank in allowed(matcher):
        assert matcher.accept(blank)
        count += 1

    assert count == 64


def test_a_tokenizer_without_an_end_is_refused() -> None:
    with pytest.raises(BadRequest, match="no token that ends"):
        Vocabulary(TOKENIZER, frozenset({5000}), "field")


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("choice", ["a" * 5000]),
        ("json_schema", {"const": "a" * 5000}),
        ("json_schema", {"properties": {"b": {"enum": [{"a" * 5000: 1}]}}}),
        ("regex", "a" * 20_000),
        ("grammar", f'start: "{"a" * 20_000}"'),
    ],
)
def test_a_text_whose_masks_hold_everybody_up_is_refused(
    kind: str, source: object
) -> None:
    with pytest.raises(BadRequest, match="too dear"):
        compiled(kind, source)


def test_no_text_holds_a_token_beyond_all_numbers() -> None:
    assert not VOCABULARY.is_special(1 << 70)
