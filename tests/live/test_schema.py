"""/schema: the description of routes, as generators of clients and its page read it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from hotswap.api.openapi.described_routes import DESCRIBED
from hotswap.api.openapi.json_schema import as_openapi
from hotswap.api.shared.schemas import Fields
from tests.servers import Live


@pytest.fixture(scope="module")
def document(live: Live) -> dict[str, Any]:
    with live.client() as client:
        found: dict[str, Any] = client.get("/schema/openapi.json").json()
    return found


def objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from objects(each)


def kinds(kind: type[Fields]) -> Iterator[type[Fields]]:
    for one in kind.__subclasses__():
        yield one
        yield from kinds(one)


def test_every_body_that_a_route_reads_is_described(document: dict[str, Any]) -> None:
    # Those that stand for others are read as their subclasses.
    read = {kind for kind in kinds(Fields) if not kind.__subclasses__()}
    schemas = document["components"]["schemas"]

    missing = {
        f"{kind.__name__}.{field}"
        for kind in read
        for field in kind.__struct_encode_fields__
        if field not in schemas.get(kind.__name__, {}).get("properties", ())
    }

    assert not missing
    for method, path in DESCRIBED:
        assert method in document["paths"][path]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    places = {f"#/components/schemas/{name}" for name in schemas}

    found = {each["$ref"] for each in objects(document) if "$ref" in each}

    assert found
    assert found <= places


def test_every_operation_has_a_name_of_its_own_and_says_its_errors(
    document: dict[str, Any],
) -> None:
    operations = [
        operation
        for methods in document["paths"].values()
        for operation in methods.values()
    ]

    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert "default" in operation["responses"], operation["operationId"]


ERRING = ("/v1/completions", "/invocations", "/v1/load_lora_adapter")
ENDPOINT = "/endpoints/{model}/invocations"


def test_an_error_is_as_it_is_described(live: Live, document: dict[str, Any]) -> None:
    with live.client() as client:
        for path in (*ERRING, ENDPOINT):
            answer = client.post(path.replace("{model}", "tiny"), json={"inputs": 1})
            responses = document["paths"][path]["post"]["responses"]
            shape = responses["default"]["content"]["application/json"]["schema"]
            name = shape["$ref"].rpartition("/")[2]
            described = document["components"]["schemas"][name]

            assert answer.status_code == (400 if "v1" in path else 424)
            assert {*described["required"]} <= {*answer.json()}, path
            assert {*answer.json()} <= {*described["properties"]}, path


def test_the_page_needs_no_other_server(live: Live) -> None:
    with live.client() as client:
        page = client.get("/schema")
        assert page.status_code == 200
        head = page.text.partition("</head>")[0]
        wanted = re.findall(r"(?:src|href)=[\"']([^\"']+)[\"']", head)

        assert len(wanted) == 4
        for url in wanted:
            assert url.startswith("/"), url
            assert client.get(url).status_code == 200
    assert '"openapi":"3.0.3"' in page.text


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (
            {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            {"type": "integer", "nullable": True},
        ),
        (
            {"anyOf": [{"$ref": "#/a"}, {"type": "null"}]},
            {"allOf": [{"$ref": "#/a"}], "nullable": True},
        ),
        ({"$ref": "#/a", "default": {}}, {"$ref": "#/a"}),
        ({"const": 1}, {"enum": [1]}),
        ({"exclusiveMinimum": 0}, {"minimum": 0, "exclusiveMinimum": True}),
        ({"type": ["null", "string"]}, {"type": "string", "nullable": True}),
        ({"type": "object", "required": []}, {"type": "object"}),
    ],
    ids=json.dumps,
)
def test_a_schema_is_said_as_openapi_3_0_can(
    schema: dict[str, Any], said: dict[str, Any]
) -> None:
    assert as_openapi(schema) == said
