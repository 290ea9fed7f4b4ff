"""A public suite of JSON schemas, and the validator that tells what fits one.

`tests/data/json_schemas.json`: of json-schema-org/JSON-Schema-Test-Suite those that the
grammar library can follow, each with some instances that fit and some that do not.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for


@cache
def suite() -> list[dict[str, Any]]:
    """Of each schema: where it is `from`, the `schema`, `valid` and `invalid` ones."""
    path = Path(__file__).parent / "data" / "json_schemas.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def validator(schema: dict[str, Any]) -> Validator:
    """By the draft that it names, else by the newest; formats are checked, too."""
    kind = validator_for(schema, default=Draft202012Validator)
    made: Validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    return made
