"""DJL's adapter management, called as its own tests call it."""

from typing import Any

import httpx


def names(client: httpx.Client) -> list[str]:
    return [each["name"] for each in listed(client)["adapters"]]


def listed(client: httpx.Client, **query: int) -> Any:
    response = client.get("/adapters", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def register(
    client: httpx.Client, name: str, src: object, form: str = "/adapters", **more: Any
) -> httpx.Response:
    return client.post(form, params={"name": name, "src": str(src), **more})


def status(response: httpx.Response) -> str:
    """The text of a success, which is sent as DJL sends it."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/json")
    assert "no-cache" in response.headers["cache-control"]
    assert response.text.endswith("}\n")
    assert '\n  "status": ' in response.text
    assert response.headers["x-request-id"]
    return str(response.json()["status"])


def error(response: httpx.Response, code: int, kind: str) -> str:
    assert response.status_code == code, response.text
    body = response.json()
    assert body["code"] == code
    assert body["type"] == kind
    return str(body["message"])


def predict(client: httpx.Client, path: str = "/predictions/tiny", **query: Any) -> Any:
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 6}}
    response = client.post(path, params=query, json=body)
    assert response.status_code == 200, response.text
    return response.json()["generated_text"]
