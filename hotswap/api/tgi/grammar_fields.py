"""Grammar fields: what an answer has to look like, as TGI and as LoRAX say it."""

from typing import Any, Literal

import msgspec

from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.schemas import Fields
from hotswap.errors import BadRequest


class Grammar(Fields, frozen=True, kw_only=True):
    """TGI's. `value`: a schema, or the text of one; of `json_schema` an object that has
    it in `schema`; of `regex` the expression."""

    type: Literal["json", "json_object", "json_schema", "regex"]
    value: Any

    def spec(self, field: str) -> GrammarSpec:
        """Raises BadRequest; `field` is where it stands."""
        place = f"{field}.value"
        if self.type == "regex":
            if not isinstance(self.value, str):
                raise BadRequest(f"`{place}`: an expression is a text", place)
            return GrammarSpec("regex", self.value, place)
        value = self.value
        if self.type == "json_schema":
            if not isinstance(value, dict) or "schema" not in value:
                raise BadRequest(f"`{place}`: `json_schema` has a `schema`", place)
            value = value["schema"]
        elif isinstance(value, str):
            return GrammarSpec("json_schema", value, place)
        return GrammarSpec("json_schema", _written(value, place), place)


class AnswerFormat(Fields, frozen=True, kw_only=True, rename={"schema_": "schema"}):
    """LoRAX'. Without a `schema`: any object."""

    type: Literal["text", "json_object", "json_schema"]
    schema_: dict[str, Any] | None = None

    def spec(self, field: str) -> GrammarSpec | None:
        if self.type == "text":
            return None
        if self.schema_ is None:
            return GrammarSpec("json_object", "", field)
        return GrammarSpec("json_schema", _written(self.schema_, field), field)


def _written(schema: object, place: str) -> str:
    if not isinstance(schema, dict):
        raise BadRequest(f"`{place}`: a schema is an object", place)
    return msgspec.json.encode(schema).decode()
