"""Ready is a server that answers and follows its adapters; trouble is told beside."""

from dataclasses import dataclass
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.fake_server import FakeEngine, FakeLibrary, FakeStatus, app_of


@dataclass
class FakeWatch:
    is_alive: bool = True
    trouble: tuple[str, ...] = ()

    def start(self) -> None: ...
    def stop(self) -> None: ...


def ask(path: str, **parts: Any) -> tuple[int, dict[str, Any]]:
    known: dict[str, Any] = {"engine": FakeEngine(), "watch": FakeWatch()}
    with TestClient(app_of(**known | parts)) as client:
        answer = client.get(path)
    return answer.status_code, answer.json()


def test_a_server_whose_parts_live_is_ready_with_or_without_a_watch() -> None:
    assert ask("/health/ready") == (200, {"ready": True, "trouble": []})
    assert ask("/health", watch=None) == (200, {"ready": True, "trouble": []})
    assert ask("/ping") == (200, {"tiny": {"status": "Healthy"}})


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("engine", FakeEngine(is_alive=False)),
        ("library", FakeLibrary(is_alive=False)),
        ("watch", FakeWatch(is_alive=False)),
    ],
)
def test_a_thread_that_has_ended_means_neither_ready_nor_alive(
    name: str, part: object
) -> None:
    parts: dict[str, Any] = {name: part}

    assert ask("/health/ready", **parts)[0] == 503
    assert ask("/health/live", **parts) == (503, {"alive": False, "ended": [name]})
    assert ask("/ping", **parts) == (503, {"tiny": {"status": "Unhealthy"}})


def test_a_server_that_stops_is_alive_and_not_ready() -> None:
    stopping = FakeEngine(status=FakeStatus(is_stopping=True))

    assert ask("/health/ready", engine=stopping)[0] == 503
    assert ask("/health/live", engine=stopping) == (200, {"alive": True, "ended": []})
    assert ask("/ping", engine=stopping)[0] == 503


def test_trouble_with_the_disk_is_told_and_the_server_is_ready() -> None:
    parts: dict[str, Any] = {
        "library": FakeLibrary(trouble=("a",)),
        "watch": FakeWatch(trouble=("b", "c")),
    }

    assert ask("/health/ready", **parts) == (
        200,
        {"ready": True, "trouble": ["a", "b", "c"]},
    )
