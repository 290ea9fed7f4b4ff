"""How the tests ask, and what they make of events. OpenAI's types read every answer."""

import json
from collections.abc import Sequence
from typing import Any

from litestar.testing import TestClient
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.hotswap.api.chat import speaking

PATH = "/v1/responses"
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TOOLS: list[dict[str, Any]] = [
    {"type": "function", **tool["function"]} for tool in speaking.TOOLS
]
# What differs from answer to answer.
PASSING = {"id", "call_id", "created_at", "completed_at"}


def respond(client: TestClient, **body: Any) -> dict[str, Any]:
    """The answer at once."""
    answer = client.post(PATH, json={"input": "hi", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    Response.model_validate(found)
    return found


def events(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    """The answer as a stream."""
    answer = client.post(PATH, json={"input": "hi", "stream": True, **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    *told, end = answer.text.split("\n\n")
    assert end == ""
    found = []
    for number, one in enumerate(told):
        name, data = one.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}" == f"event: {_kind(event)}"
        assert event["sequence_number"] == number
        found.append(event)
    return found


def refused(client: TestClient, **body: Any) -> tuple[str, str]:
    """The field and the message, in OpenAI's envelope."""
    answer = client.post(PATH, json={"input": "hi", **body})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("BadRequestError", 400)
    return error["param"], error["message"]


def joined(stream: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that the deltas make, in the status in which they began."""
    items: list[dict[str, Any]] = []
    for event in stream:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert event["output_index"] == len(items)
            items.append(event["item"])
        elif kind == "response.content_part.added":
            item = items[event["output_index"]]
            assert event["content_index"] == len(item["content"])
            item["content"].append(event["part"])
        elif kind == "response.function_call_arguments.delta":
            items[event["output_index"]]["arguments"] += event["delta"]
        elif kind.endswith("_text.delta"):
            item = items[event["output_index"]]
            assert item["id"] == event["item_id"]
            part = item["content"][event["content_index"]]
            part["text"] += event["delta"]
            if "logprobs" in event:
                part["logprobs"] += event["logprobs"]
    return items


def lasting(value: Any) -> Any:
    """Without what differs from answer to answer, and without a status."""
    if isinstance(value, list):
        return [lasting(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: each for name, each in value.items() if name not in PASSING}
    return {name: lasting(each) for name, each in kept.items() if name != "status"}


def _kind(event: dict[str, Any]) -> str:
    kind: str = EVENT.validate_python(event).type
    return kind
