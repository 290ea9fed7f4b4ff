"""Structured output: the fields of OpenAI's bodies that say what an answer looks like.

OpenAI's `response_format`, vLLM's `structured_outputs`, and its older `guided_json`,
`guided_regex`, `guided_choice` and `guided_grammar`. All become one `GrammarSpec`.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.sampling_fields import SamplingFields
from hotswap.api.shared.schemas import Fields
from hotswap.errors import BadRequest

_Schema = dict[str, Any]
_Choices = Annotated[list[str], Meta(min_length=1)]
_Text = Annotated[str, Meta(min_length=1)]


class JsonSchemaFormat(Fields, frozen=True, kw_only=True):
    """`strict` changes nothing: every answer is held to its schema, as vLLM does. So is
    OpenAI's default, which leaves it to the model."""

    name: str = ""
    description: str | None = None
    schema: _Schema | None = None
    strict: bool | None = None


class ResponseFormat(Fields, frozen=True, kw_only=True):
    """vLLM's `structural_tag` is not there."""

    inner: ClassVar = {"json_schema": JsonSchemaFormat}

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StructuredOutputs(Fields, frozen=True, kw_only=True):
    foreign: ClassVar = {
        "structural_tag": (),
        "disable_fallback": (False, True),  # there is one library
        "disable_any_whitespace": (False,),
        "disable_additional_properties": (False,),
        "whitespace_pattern": (),
    }

    json: str | _Schema | None = None
    regex: _Text | None = None
    choice: _Choices | None = None
    grammar: _Text | None = None
    json_object: bool | None = None


class StructuredFields(SamplingFields, frozen=True, kw_only=True):
    """Of a body that generates. At most one of them says something."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: str | _Schema | None = None
    guided_regex: _Text | None = None
    guided_choice: _Choices | None = None
    guided_grammar: _Text | None = None


INNER: dict[str, type[Fields]] = {
    "response_format": ResponseFormat,
    "structured_outputs": StructuredOutputs,
}


def grammar_of(body: StructuredFields) -> GrammarSpec | None:
    """What the answer has to look like; None is any text. Raises BadRequest for two
    that contradict each other, or for a format without its schema."""
    found = _of_format(body.response_format)
    said = body.structured_outputs
    if said is not None:
        place = "structured_outputs."
        found += _of(
            place,
            json=said.json,
            regex=said.regex,
            choice=said.choice,
            grammar=said.grammar,
        )
        if said.json_object:
            found.append(GrammarSpec("json_object", "", f"{place}json_object"))
        if not found:
            raise BadRequest("`structured_outputs` asks for nothing", place[:-1])
    found += _of(
        "guided_",
        json=body.guided_json,
        regex=body.guided_regex,
        choice=body.guided_choice,
        grammar=body.guided_grammar,
    )
    if len(found) > 1:
        one, other = found[0].field, found[1].field
        raise BadRequest(f"`{other}` contradicts `{one}`: say one of them", other)
    return found[0] if found else None


def _of_format(said: ResponseFormat | None) -> list[GrammarSpec]:
    if said is None or said.type == "text":
        return []
    if said.type == "json_object":
        return [GrammarSpec("json_object", "", "response_format")]
    field = "response_format.json_schema"
    if said.json_schema is None:
        raise BadRequest(f"`{field}` is missing", field)
    field += ".schema"
    if said.json_schema.schema is None:
        raise BadRequest(f"`{field}` is missing", field)
    return [GrammarSpec("json_schema", _json(said.json_schema.schema), field)]


def _of(
    place: str,
    *,
    json: str | _Schema | None,
    regex: str | None,
    choice: list[str] | None,
    grammar: str | None,
) -> list[GrammarSpec]:
    """Those that are said, of fields whose names begin with `place`."""
    found = []
    if json is not None:
        source = json if isinstance(json, str) else _json(json)
        found.append(GrammarSpec("json_schema", source, f"{place}json"))
    if regex is not None:
        found.append(GrammarSpec("regex", regex, f"{place}regex"))
    if choice is not None:
        found.append(GrammarSpec("choice", _json(choice), f"{place}choice"))
    if grammar is not None:
        found.append(GrammarSpec("grammar", grammar, f"{place}grammar"))
    return found


def _json(value: object) -> str:
    """In the client's own order: an answer's properties come as the schema has them."""
    return msgspec.json.encode(value).decode()
