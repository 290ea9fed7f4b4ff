"""vLLM's adapter routes, and our own account of what they did."""

from typing import Any

import httpx

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


def rows(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in client.get("/v1/adapters").json()["data"]}


def load(client: httpx.Client, name: str, path: str, **more: Any) -> httpx.Response:
    body = {"lora_name": name, "lora_path": path, **more}
    return client.post(LOAD, json=body)


def ask(client: httpx.Client, model: str) -> httpx.Response:
    body = {"model": model, "prompt": "Hello", "max_tokens": 6, "temperature": 0}
    return client.post("/v1/completions", json=body)


def error(response: httpx.Response, code: int, kind: str) -> str:
    assert response.status_code == code, response.text
    body = response.json()["error"]
    assert set(body) - {"refusal"} == {"message", "type", "param", "code"}
    assert (body["code"], body["type"]) == (code, kind)
    return str(body["message"])
