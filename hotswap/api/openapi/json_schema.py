"""JSON schema: types of ours as OpenAPI 3.0 can say them.

msgspec tells JSON Schema of 2020; generators of clients, and the page, read OpenAPI 3.0
best, which lacks `null`, `const` and numeric exclusive bounds.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from hotswap.api.shared.schemas import Fields
from hotswap.api.shared.unsupported_fields import ANYTHING

Schema = dict[str, Any]

_PLACE = "#/components/schemas/{name}"
_TYPES = {bool: "boolean", int: "number", float: "number", str: "string"}
_TYPES |= {list: "array", dict: "object"}


def schemas_of(types: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema of each type, and what they refer to, by name. Bodies have the fields,
    too, that may be said because they change nothing."""
    found, components = msgspec.json.schema_components(types, ref_template=_PLACE)
    named = {kind.__name__: kind for kind in _kinds(Fields)}
    for name, schema in components.items():
        if name in named:
            schema["properties"] |= _neutral(named[name])
    shown = {name: as_openapi(schema) for name, schema in components.items()}
    return [as_openapi(schema) for schema in found], shown


def as_openapi(schema: Any) -> Any:
    """A JSON schema of 2020 as OpenAPI 3.0 says it. `null` is absence in every body,
    and answers say `nullable`."""
    if isinstance(schema, list):
        return [as_openapi(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:  # nothing may stand beside it
        return {"$ref": schema["$ref"]}
    made = {key: as_openapi(each) for key, each in schema.items() if key != "examples"}
    for several in {"anyOf", "oneOf"} & made.keys():
        made = _without_null(made, several)
    if "prefixItems" in made:  # a tuple
        made["items"] = {"anyOf": made.pop("prefixItems")}
    if isinstance(made.get("type"), list):
        kinds = [kind for kind in made["type"] if kind != "null"]
        made["nullable"] = len(kinds) < len(made.pop("type"))
        made |= {"type": kinds[0]} if len(kinds) == 1 else {}
    if "const" in made:
        made["enum"] = [made.pop("const")]
    for exclusive, plain in (
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ):
        if exclusive in made and not isinstance(made[exclusive], bool):
            made |= {plain: made[exclusive], exclusive: True}
    for key, nothing in (("default", None), ("required", [])):
        if made.get(key, ...) == nothing:
            del made[key]
    return made


def _without_null(schema: Schema, several: str) -> Schema:
    kinds = [each for each in schema[several] if each != {"type": "null"}]
    if len(kinds) == len(schema[several]):
        return schema
    rest = {key: each for key, each in schema.items() if key != several}
    if len(kinds) > 1:
        return {**rest, several: kinds, "nullable": True}
    if "$ref" in kinds[0]:
        return {**rest, "allOf": kinds, "nullable": True}
    return {**rest, **kinds[0], "nullable": True}


def _neutral(kind: type[Fields]) -> dict[str, Schema]:
    """The fields of peers that pass, with the values that do."""
    said: dict[str, Schema] = {}
    for field, values in kind.foreign.items():
        if values is ANYTHING:
            said[field] = {"description": "read, and of no effect"}
        elif values:
            only = " or ".join(f"`{msgspec.json.encode(v).decode()}`" for v in values)
            said[field] = {
                "type": _TYPES[type(values[0])],
                "description": f"only {only}, which changes nothing",
            }
            if isinstance(values[0], list):
                said[field]["items"] = {}
    return said


def _kinds(kind: type[Fields]) -> Iterable[type[Fields]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)
