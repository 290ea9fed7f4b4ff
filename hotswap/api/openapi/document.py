"""Document: Litestar's OpenAPI document, with the bodies, answers and errors of routes.

Routes read their bodies themselves, strictly, and answer in the shapes of others:
Litestar knows the paths and their parameters alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hotswap.api.openapi.described_routes import DESCRIBED, Route, errors_at
from hotswap.api.openapi.json_schema import as_openapi, schemas_of
from hotswap.api.shared.route_access import Access, access

_METHODS = ("get", "post", "put", "patch", "delete")
_KEYS = {
    name: {"type": "http", "scheme": "bearer", "description": about}
    for name, about in (
        ("api_key", "inference, perhaps by some adapters only"),
        ("admin_key", "everything"),
    )
}
# Of each class of routes the keys that open it, any of them.
_OPENED_BY: Mapping[Access, list[dict[str, list[str]]]] = {
    Access.OPEN: [],
    Access.INFERENCE: [{"api_key": []}, {"admin_key": []}],
    Access.ADMIN: [{"admin_key": []}],
    Access.METRICS: [{"admin_key": []}, {}],  # as the configuration says
}


def described(document: Mapping[str, Any], *, has_keys: bool) -> dict[str, Any]:
    """The same document of OpenAPI 3.0, with all that a client needs to know.
    `has_keys`: the server asks for them."""
    paths = {
        path: {
            method: _operation(path, method, as_openapi(each))
            for method, each in operations.items()
            if method in _METHODS
        }
        for path, operations in document["paths"].items()
    }
    types = [kind for route in DESCRIBED.values() for kind in route.types]
    types += [errors_at(path) for path in paths]
    found, components = schemas_of(types)
    known = as_openapi(document.get("components", {}).get("schemas", {}))
    by_type = dict(zip(types, found, strict=True))
    for path, operations in paths.items():
        for method, operation in operations.items():
            route = DESCRIBED.get((method, path), Route())
            _fill(operation, route, by_type, by_type[errors_at(path)])
            if has_keys:
                operation["security"] = _OPENED_BY[access(method.upper(), path)]
    schemes = {"securitySchemes": _KEYS} if has_keys else {}
    return {
        **document,
        "openapi": "3.0.3",
        "paths": paths,
        "components": {"schemas": known | components, **schemes},
    }


def _operation(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """With a name that reads well in a client, and none of Litestar's own errors."""
    place = path.strip("/").replace("{", "").replace("}", "")
    words = [method, *(w for part in place.split("/") for w in part.split("_"))]
    operation["operationId"] = "_".join(word for word in words if word)
    operation["responses"] = {
        code: each for code, each in operation["responses"].items() if code < "300"
    }
    return operation


def _fill(
    operation: dict[str, Any],
    route: Route,
    schemas: Mapping[Any, dict[str, Any]],
    errors: dict[str, Any],
) -> None:
    """Mutates the operation."""
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.is_body_required,
            "content": {"application/json": {"schema": _any(route.bodies, schemas)}},
        }
    (good,) = operation["responses"].values()
    if route.answer is not None:
        good["content"] = {"application/json": {"schema": _any(route.answers, schemas)}}
    if route.stream:
        streamed = {route.stream: {"schema": {"type": "string"}}}
        whole = good.get("content", {}) if route.answer is not None else {}
        good["content"] = whole | streamed
    operation["responses"]["default"] = {
        "description": "an error",
        "content": {"application/json": {"schema": errors}},
    }


def _any(kinds: Sequence[Any], schemas: Mapping[Any, Any]) -> dict[str, Any]:
    first, *others = [schemas[kind] for kind in kinds]
    return {"anyOf": [first, *others]} if others else dict(first)
