"""Whatever clients send, the others are served: promise 10, on the real command.

While a hostile request is worked on, a plain one to another adapter answers within a
second of what it takes alone, `/health/live` within a quarter of one, and the memory
comes back.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.live.hostile import Served, has_all_it_had, others_are_served, serving

CODES = (200, 400, 413, 424, 429, 503)  # 424: DJL's for inputs that cannot be

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def served(
    model_folder: Path, adapter_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("hostile")
    with serving(model_folder, adapter_folders, place) as found:
        yield found


BODIES: dict[str, tuple[str, Callable[[], Any]]] = {
    "many prompts, many times": (
        "/v1/completions",
        lambda: {"prompt": [[5]] * 5000, "n": 64, "max_tokens": 1},
    ),
    "as many answers as may wait": (
        "/v1/completions",
        lambda: {"model": "a2", "prompt": ["x"] * 15, "n": 64, "max_tokens": 8},
    ),
    "many texts": ("/v1/completions", lambda: {"prompt": ["x"] * 5000}),
    "many inputs": ("/invocations", lambda: {"inputs": ["x"] * 5000}),
    "a list of a million adapters": (
        "/invocations",
        lambda: {"inputs": "x", "adapters": ["a1"] * 1_000_000},
    ),
    "a prompt of 9 MB": ("/v1/completions", lambda: {"prompt": "word " * 1_800_000}),
    "a word of 1 MB": ("/v1/completions", lambda: {"prompt": "x" * 1_000_000}),
    "a message of 9 MB": (
        "/v1/chat/completions",
        lambda: {"messages": [{"role": "user", "content": "word " * 1_800_000}]},
    ),
    "a million tokens": ("/v1/completions", lambda: {"prompt": [5] * 1_000_000}),
    "deep brackets": ("/v1/completions", lambda: b"[" * 5_000_000),
    "a million fields": (
        "/v1/completions",
        lambda: {f"field{n}": n for n in range(500_000)},
    ),
    "many long stops": (
        "/v1/completions",
        lambda: {"prompt": "x", "max_tokens": 400, "stop": ["y" * 500_000] * 16},
    ),
}


@pytest.mark.parametrize("kind", BODIES)
def test_no_body_stops_the_others(served: Served, kind: str) -> None:
    path, make = BODIES[kind]
    body = make()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def work() -> None:
        answer = served.post(path, raw)
        assert answer.status_code in CODES, answer.text[:300]

    others_are_served(served, work)


def test_no_crowd_of_connections_stops_the_others(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    held = []

    def work() -> None:
        for number in range(300):
            with suppress(OSError):  # more than it takes
                client = socket.create_connection((host, int(port)), 5)
                held.append(client)
                if number % 3 == 1:
                    client.sendall(head)
                elif number % 30 == 2:
                    client.sendall(head + b"\r\n" + b"x" * 2_000_000)

    try:
        others_are_served(served, work)
    finally:
        for client in held:
            client.close()


def test_it_has_still_all_it_had(served: Served) -> None:
    assert has_all_it_had(served)
