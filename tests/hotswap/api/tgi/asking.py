"""What the tests of TGI's routes ask, and what they read."""

import json
from typing import Any

from litestar.testing import TestClient


def ask(
    client: TestClient, path: str = "/generate", code: int = 200, **fields: Any
) -> Any:
    answer = client.post(path, json={"inputs": "abc", **fields})
    assert answer.status_code == code, answer.text
    return answer


def events(answer: Any) -> list[dict[str, Any]]:
    blocks = answer.text.split("\n\n")
    assert blocks.pop() == ""
    return [json.loads(block.removeprefix("data:")) for block in blocks]
