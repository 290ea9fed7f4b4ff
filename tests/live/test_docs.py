"""docs: the pages list what a server has, routes and metrics, and nothing else."""

import re
from pathlib import Path

from tests.servers import Live

DOCS = Path(__file__).parents[2] / "docs"
METHODS = ("get", "post", "put", "patch", "delete")


def test_the_page_of_the_api_has_every_route_and_no_other(live: Live) -> None:
    with live.client() as client:
        paths = client.get("/schema/openapi.json").json()["paths"]
    routes = {
        f"{method.upper()} {path}"
        for path, known in paths.items()
        for method in known
        if method in METHODS
    }

    page = (DOCS / "api.md").read_text()
    named = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^` ?]*)`", page))

    # DJL's way of writing what the router reads as any path below.
    renamed = {route.replace("/{name}/update", "/{name}/{rest}") for route in named}
    assert routes - renamed == set()
    assert renamed - routes == {"GET /schema", "GET /schema/openapi.json"}


def test_the_page_of_metrics_has_every_metric_and_no_other(live: Live) -> None:
    with live.client() as client:
        found = re.findall(r"^# TYPE (\S+) ", client.get("/metrics").text, re.M)

    page = (DOCS / "metrics.md").read_text()
    named = set(re.findall(r"`((?:hotswap_|vllm:)\w+)[`{ ]", page))

    assert set(found) == named


def test_the_page_of_operations_has_every_field_of_the_status(live: Live) -> None:
    with live.client() as client:
        status = client.get("/v1/status").json()

    page = (DOCS / "operations.md").read_text().partition("## Status")[2]
    fields = {*status, *status["memory"]}

    assert [field for field in sorted(fields) if f"`{field}`" not in page] == []
