"""/schema: whatever is asked of its routes, no answer is a bug, and all are as it says.

schemathesis makes the requests, such as fit the description and such as do not, and
holds the answers to it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import (
    APIOperation,
    Case,
    CheckContext,
    GenerationMode,
    Response,
    openapi,
)
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.echo import app
from tests.servers import Live, wait_until

ENDLESS = "/v1/events"  # a stream that goes on
REST = "{rest}"  # whatever follows a name: schemathesis knows nothing that fits


def is_as_described(context: CheckContext, response: Response, case: Case) -> None:
    """But for streams: OpenAPI 3.0 can only say that they are text."""
    if "text/event-stream" not in response.headers["content-type"][0]:
        response_schema_conformance(context, response, case)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    is_as_described,
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    """Of its own for each run: requests take adapters away."""
    for name in ("pirate", "sql"):
        (tmp_path / name).mkdir()
        (tmp_path / name / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
        (tmp_path / name / WEIGHTS_FILE).write_bytes(b"weights")
    told: dict[str, dict[str, Any]] = {
        "model": {"path": "echo"},
        "adapters": {"directory": str(tmp_path)},
    }
    with Live(app.build(config.load(None, told))) as live:
        with live.client() as client:
            wait_until(lambda: "sql" in client.get("/v1/models").text)
        yield live


def operations(server: Live, mode: GenerationMode) -> Iterator[APIOperation]:
    """Of a route that reads nothing but names no request is wrong."""
    with server.client() as client:
        document = client.get("/schema/openapi.json").json()
    for found in openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        reads = bool(len(operation.body) or len(operation.query))
        if operation.path == ENDLESS or REST in operation.path:
            continue
        if reads or mode is GenerationMode.POSITIVE:
            yield operation


def ask(
    server: Live, operation: APIOperation, mode: GenerationMode, examples: int
) -> int:
    """So many requests at most; how many there were."""
    asked = []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Case) -> None:
        asked.append(case)
        case.call_and_validate(base_url=server.url, checks=CHECKS)

    one()
    return len(asked)


@pytest.mark.parametrize(
    "examples", [2, pytest.param(20, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_answer_is_a_bug_and_all_are_as_described(
    server: Live, mode: GenerationMode, examples: int
) -> None:
    asked = [ask(server, each, mode, examples) for each in operations(server, mode)]

    assert len(asked) > 15
    assert sum(asked) > 15 * examples / 2
