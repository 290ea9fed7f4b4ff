"""Ready is a server that answers and follows its adapters; trouble is told beside."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hotswap.api import operations
from hotswap.api.serving import Serving


@dataclass(frozen=True)
class Part:
    """A thread of the server."""

    is_alive: bool = True
    trouble: tuple[str, ...] = ()
    is_stopping: bool = False

    @property
    def status(self) -> "Part":
        return self


@dataclass(frozen=True)
class FakeServing:
    engine: Part = field(default_factory=Part)
    library: Part = field(default_factory=Part)
    watch: Part | None = field(default_factory=Part)
    ended = Serving.ended


def ask(serving: Any, route: Any = operations.ready) -> tuple[int, dict[str, Any]]:
    answer = asyncio.run(route.fn(serving))
    return answer.status_code, json.loads(json.dumps(answer.content))


def test_a_server_whose_parts_live_is_ready_with_or_without_a_watch() -> None:
    assert ask(FakeServing()) == (200, {"ready": True, "trouble": []})
    assert ask(FakeServing(watch=None)) == (200, {"ready": True, "trouble": []})


@pytest.mark.parametrize("part", ["engine", "library", "watch"])
def test_a_thread_that_has_ended_means_neither_ready_nor_alive(part: str) -> None:
    half = replace(FakeServing(), **{part: Part(is_alive=False)})  # type: ignore[arg-type]

    assert ask(half)[0] == 503
    assert ask(half, operations.live) == (503, {"alive": False, "ended": [part]})


def test_a_server_that_stops_is_alive_and_not_ready() -> None:
    stopping = replace(FakeServing(), engine=Part(is_stopping=True))

    assert ask(stopping)[0] == 503
    assert ask(stopping, operations.live) == (200, {"alive": True, "ended": []})


def test_trouble_with_the_disk_is_told_and_the_server_is_ready() -> None:
    serving = FakeServing(library=Part(trouble=("a",)), watch=Part(trouble=("b", "c")))

    assert ask(serving) == (200, {"ready": True, "trouble": ["a", "b", "c"]})
