"""The fields that say what an answer looks like: what each asks, what is refused."""

import json
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.schemas import Completion
from hotswap.api.openai.structured import grammar_of
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.schemas import convert
from hotswap.errors import BadRequest

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
FORMAT = {"name": "n", "schema": SCHEMA, "strict": True, "description": "d"}
SAYS: list[tuple[dict[str, Any], GrammarSpec | None]] = [
    ({}, None),
    ({"response_format": None}, None),
    ({"response_format": {"type": "text"}}, None),
    (
        {"response_format": {"type": "json_object"}},
        GrammarSpec("json_object", "", "response_format"),
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": FORMAT}},
        GrammarSpec("json_schema", "", "response_format.json_schema.schema"),
    ),
    (  # huggingface_hub's
        {"response_format": {"type": "json_object", "value": SCHEMA}},
        GrammarSpec("json_schema", "", "response_format.value"),
    ),
    ({"guided_json": SCHEMA}, GrammarSpec("json_schema", "", "guided_json")),
    (
        {"guided_json": json.dumps(SCHEMA)},
        GrammarSpec("json_schema", "", "guided_json"),
    ),
    ({"guided_regex": "a+"}, GrammarSpec("regex", "a+", "guided_regex")),
    ({"guided_choice": ["a"]}, GrammarSpec("choice", '["a"]', "guided_choice")),
    (
        {"guided_grammar": 'start: "a"'},
        GrammarSpec("grammar", 'start: "a"', "guided_grammar"),
    ),
    (
        {"structured_outputs": {"json": SCHEMA, "disable_any_whitespace": False}},
        GrammarSpec("json_schema", "", "structured_outputs.json"),
    ),
    (
        {"structured_outputs": {"json_object": True}},
        GrammarSpec("json_object", "", "structured_outputs.json_object"),
    ),
    (
        {"structured_outputs": {"regex": "a+", "choice": None}},
        GrammarSpec("regex", "a+", "structured_outputs.regex"),
    ),
    (
        {"structured_outputs": {"choice": ["a", "b"]}},
        GrammarSpec("choice", '["a","b"]', "structured_outputs.choice"),
    ),
    (
        {"structured_outputs": {"grammar": 'start: "a"'}},
        GrammarSpec("grammar", 'start: "a"', "structured_outputs.grammar"),
    ),
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"response_format": {"type": "structural_tag"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
        "response_format.json_schema.schema",
    ),
    ({"response_format": {"schema": {}}}, "response_format.schema"),
    ({"response_format": {"type": "text", "value": {}}}, "response_format.value"),
    ({"structured_outputs": {}}, "structured_outputs"),
    ({"structured_outputs": {"json_object": False}}, "structured_outputs"),
    ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs."),
    ({"structured_outputs": {"whitespace_pattern": " "}}, "structured_outputs."),
    ({"structured_outputs": {"regexp": "a"}}, "structured_outputs.regexp"),
    (
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        "structured_outputs.choice",
    ),
    (
        {"response_format": {"type": "json_object"}, "guided_json": {}},
        "guided_json",
    ),
    ({"guided_regex": "a", "guided_grammar": "b"}, "guided_grammar"),
    ({"guided_choice": []}, "guided_choice"),
    ({"guided_choice": [1]}, "guided_choice[0]"),
    ({"guided_json": True}, "guided_json"),
]
BODIES: list[tuple[type[Completion | Chat], dict[str, Any]]] = [
    (Completion, {"prompt": "a"}),
    (Chat, {"messages": [{"role": "user", "content": "a"}]}),
]


@pytest.mark.parametrize(("kind", "least"), BODIES, ids=["completion", "chat"])
@pytest.mark.parametrize(("said", "wanted"), SAYS)
def test_each_field_asks_for_its_form(
    kind: type[Completion | Chat],
    least: dict[str, Any],
    said: dict[str, Any],
    wanted: GrammarSpec | None,
) -> None:
    found = grammar_of(convert({**least, **said}, kind))

    if found is None or wanted is None:
        assert found is wanted
        return
    assert (found.kind, found.field) == (wanted.kind, wanted.field)
    if wanted.kind == "json_schema":  # in the client's order
        assert list(json.loads(found.source)["properties"]) == ["b", "a"]
    else:
        assert found.source == wanted.source


@pytest.mark.parametrize(("kind", "least"), BODIES, ids=["completion", "chat"])
@pytest.mark.parametrize(("said", "field"), REFUSED)
def test_what_is_not_there_or_contradicts_itself_is_refused_by_name(
    kind: type[Completion | Chat],
    least: dict[str, Any],
    said: dict[str, Any],
    field: str,
) -> None:
    with pytest.raises(BadRequest) as caught:
        grammar_of(convert({**least, **said}, kind))

    assert str(caught.value.field).startswith(field)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"guided_json": {}, "stop": "x"}, "stop"),
        ({"guided_choice": ["a"], "stop": ["x"]}, "stop"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos"),
        ({"response_format": {"type": "json_object"}, "stop": ["x"]}, "stop"),
    ],
)
def test_what_would_cut_an_answer_or_add_to_it_is_refused(
    client: TestClient, said: dict[str, Any], field: str
) -> None:
    answer = client.post("/v1/completions", json={"prompt": "a", **said})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


def test_an_empty_list_of_stops_contradicts_nothing() -> None:
    GrammarSpec("json_schema", "{}", "f").check(stop=[], ignore_eos=False)
    GrammarSpec("regex", "a", "f").check(stop=["a"], ignore_eos=False)
