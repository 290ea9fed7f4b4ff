"""TGI's `grammar` and LoRAX' `response_format`: what each asks the answer to be."""

from typing import Any

import msgspec
import pytest

from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.schemas import convert
from hotswap.api.tgi.schemas import GenerateParameters

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
TEXT = msgspec.json.encode(SCHEMA).decode()
GRAMMAR = "parameters.grammar.value"
FORMAT = "parameters.response_format"
SAYS: list[tuple[dict[str, Any], GrammarSpec | None]] = [
    ({}, None),
    *(
        (
            {"grammar": {"type": kind, "value": value}},
            GrammarSpec("json_schema", TEXT, GRAMMAR),
        )
        for kind, value in (
            ("json", SCHEMA),
            ("json", TEXT),
            ("json_object", SCHEMA),  # huggingface_hub's name of it
            ("json_schema", {"name": "n", "schema": SCHEMA}),
        )
    ),
    (
        {"grammar": {"type": "regex", "value": "a+"}},
        GrammarSpec("regex", "a+", GRAMMAR),
    ),
    ({"response_format": {"type": "text"}}, None),
    (
        {"response_format": {"type": "json_object"}},
        GrammarSpec("json_object", "", FORMAT),
    ),
    *(
        (
            {"response_format": {"type": kind, "schema": SCHEMA}},
            GrammarSpec("json_schema", TEXT, FORMAT),
        )
        for kind in ("json_object", "json_schema")
    ),
]


@pytest.mark.parametrize(("said", "wanted"), SAYS, ids=str)
def test_each_field_asks_for_its_form(
    said: dict[str, Any], wanted: GrammarSpec | None
) -> None:
    assert convert(said, GenerateParameters).spec() == wanted
