"""What replicas answer is what one server answers: texts, streams, headers, errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import app
from tests.ray.crew import ADAPTER, GENERATION, REPLICA, Crew
from tests.servers import Live, settings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

NAMES = ["base", "a0", "a1", "a3"]
_FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", {"prompt": "Hello", "max_tokens": 12, "temperature": 0}),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0},
    ),
    ("/invocations", {"inputs": "Hello", "parameters": {"max_new_tokens": 12}}),
    ("/generate", {"inputs": "Hello", "parameters": {"max_new_tokens": 12}}),
]
_CHANGING = {"id", "created", "system_fingerprint"}


@pytest.fixture(scope="module")
def one(model_folder: Path, adapter_folders: Path) -> Iterator[httpx.Client]:
    """One server with the same adapters."""
    made = app.build(settings(model_folder, adapter_folders))
    with Live(made) as live, live.client() as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def stocked(crew: Crew, adapter_folders: Path) -> None:
    for name in NAMES[1:]:
        assert crew.load(name, adapter_folders / name).status_code == 200


def same(answer: httpx.Response) -> Any:
    """What of an answer is the same each time."""
    try:
        body = answer.json()
    except json.JSONDecodeError:
        return answer.text
    if isinstance(body, dict):
        return {key: value for key, value in body.items() if key not in _CHANGING}
    return body


@pytest.mark.parametrize(("path", "body"), _FAMILIES, ids=[p for p, _ in _FAMILIES])
def test_each_replica_answers_as_one_server_does(
    crew: Crew, one: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    for name in NAMES:
        # /generate names an adapter among its parameters
        header = {"X-Amzn-SageMaker-Adapter-Identifier": name}
        wanted = one.post(path, json=body, headers=header)
        for replica in crew.replicas():
            headers = {**header, REPLICA: replica}
            answer = crew.client.post(path, json=body, headers=headers)

            assert (answer.status_code, same(answer)) == (
                wanted.status_code,
                same(wanted),
            )
            for told in (ADAPTER, GENERATION, "content-type"):
                assert answer.headers.get(told) == wanted.headers.get(told)
            assert answer.headers[REPLICA] == replica


def test_a_stream_comes_in_the_same_parts(crew: Crew, one: httpx.Client) -> None:
    body = {"model": "a1", "prompt": "Hello", "max_tokens": 12, "stream": True}
    body["temperature"] = 0

    def parts(client: httpx.Client) -> list[str]:
        with client.stream("POST", "/v1/completions", json=body) as answer:
            events = [line for line in answer.iter_lines() if line]
        assert events.pop() == "data: [DONE]"
        told = [json.loads(event.removeprefix("data: ")) for event in events]
        return [each["choices"][0]["text"] for each in told]

    assert parts(crew.client) == parts(one)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/completions", b'{"model": "nobody", "prompt": "x"}'),
        ("/v1/completions", b'{"prompt": 5}'),
        ("/v1/completions", b"{"),
        ("/v1/chat/completions", b'{"messages": [], "temperatur": 1}'),
        ("/invocations", b'{"inputs": "x", "adapter": "nobody"}'),
        ("/generate", b'{"inputs": 5}'),
        ("/no/such/route", b"{}"),
    ],
)
def test_errors_are_the_same(
    crew: Crew, one: httpx.Client, path: str, content: bytes
) -> None:
    kind = {"content-type": "application/json"}
    wanted = one.post(path, content=content, headers=kind)

    answer = crew.client.post(path, content=content, headers=kind)

    assert (answer.status_code, answer.text) == (wanted.status_code, wanted.text)


@pytest.mark.parametrize("given", ["mine-1", "not printable \xe4", "x" * 200])
def test_an_answer_has_one_request_id(crew: Crew, given: str) -> None:
    headers = {"x-request-id": given.encode("latin-1")}
    answer = crew.client.get("/v1/models", headers=headers)  # type: ignore[arg-type]

    (told,) = answer.headers.get_list("x-request-id")
    assert (told == given) == (given == "mine-1")


def test_a_client_that_leaves_ends_its_job(crew: Crew) -> None:
    body = {"prompt": "x", "max_tokens": 400, "stream": True, "ignore_eos": True}
    with crew.client.stream("POST", "/v1/completions", json=body) as answer:
        replica = answer.headers[REPLICA]
        next(answer.iter_lines())
    status = crew.on(replica, "/v1/status").json()
    for _ in range(100):
        if status["counters"]["cancelled"] or not status["live"]:
            break
        status = crew.on(replica, "/v1/status").json()

    assert status["counters"]["cancelled"] == 1
