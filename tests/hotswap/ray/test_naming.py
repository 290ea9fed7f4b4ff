"""What the router takes a request to name is what the server answers by."""

import json
from typing import Any

import pytest

from hotswap.api.shared.selection import HEADER, TARGET
from hotswap.ray.naming import named, resolved

BASES = ("base", "tiny")


def name_of(
    body: Any = None,
    path: str = "/v1/completions",
    headers: dict[str, str] | None = None,
    query: str = "",
) -> str:
    """What the adapter is, by the body and all else."""
    scope = {
        "path": path,
        "headers": [
            (k.lower().encode(), v.encode()) for k, v in (headers or {}).items()
        ],
        "query_string": query.encode(),
    }
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return resolved(named(scope, raw), BASES, {"sea": "pirate"})


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"model": "pirate", "prompt": "x"}, "pirate"),
        ({"model": "tiny:pirate"}, "pirate"),
        ({"model": "tiny"}, "base"),
        ({"model": "tiny", "adapter": "pirate"}, "pirate"),
        ({"adapters": ["pirate", "legal"], "inputs": ["a", "b"]}, "pirate"),
        ({"adapters": [None, "legal"], "adapter": "x"}, "legal"),
        ({"inputs": "x", "parameters": {"adapter_id": "pirate"}}, "pirate"),
        ({"model": "sea"}, "pirate"),
        ({"prompt": "x"}, "base"),
        ({"model": 5}, "base"),
        ({"model": {"model": "pirate"}}, "base"),
        ([], "base"),
        (b"{", "base"),
        (b"\xff", "base"),
        (b"", "base"),
    ],
)
def test_a_body_names_an_adapter(body: Any, wanted: str) -> None:
    assert name_of(body) == wanted


def test_headers_go_before_the_query_and_that_before_the_body() -> None:
    body = {"model": "body"}

    assert name_of(body, headers={HEADER: "head"}, query="adapter=query") == "head"
    assert name_of(body, headers={TARGET: "head.tar.gz"}) == "head"
    assert name_of(body, query="adapter=que%20ry") == "que ry"


@pytest.mark.parametrize(
    "path",
    [
        "/predictions/sea",
        "/endpoints/sea/invocations",
        "/endpoints/sea/invocations-response-stream",
        "/models/sea/invoke",
    ],
)
def test_an_endpoint_names_its_adapter(path: str) -> None:
    assert name_of({"inputs": "x"}, path=path) == "pirate"
