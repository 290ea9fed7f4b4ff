"""A change is answered when it can be seen, also if the engine shows it late."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from hotswap.adapters.origin import Origin
from hotswap.api.shared import registration
from hotswap.errors import BadRequest
from hotswap.library.orders import Registered, Registration, Update
from hotswap.sharing.sharing import Alone


class FakeLibrary:
    """Whatever it is told is done at once."""

    def _done(self, _: object) -> "Future[None]":
        future: Future[None] = Future()
        future.set_result(None)
        return future

    update = unregister = _done

    def register(self, _: object) -> "Future[Registered]":
        future: Future[Registered] = Future()
        future.set_result(Registered("new", None))
        return future


@dataclass
class FakeEngine:
    """Its status shows a change when the test says so."""

    shown: "Future[None]" = field(default_factory=Future)

    def sync(self) -> "Future[None]":
        return self.shown


@dataclass
class FakeServer:
    engine: FakeEngine = field(default_factory=FakeEngine)
    sharing: Alone = field(default_factory=Alone)
    library: FakeLibrary = field(default_factory=FakeLibrary)
    names: tuple[str, ...] = ("tiny",)


def order(name: str) -> Registration:
    return Registration(name=name, origin=Origin(src="x"))


CHANGES: dict[str, Callable[[Any], Coroutine[Any, Any, object]]] = {
    "register": lambda server: registration.register(server, order("a")),
    "update": lambda server: registration.update(server, Update(name="a", pin=True)),
    "unregister": lambda server: registration.unregister(server, "a"),
}


@pytest.mark.parametrize("what", list(CHANGES))
async def test_an_answer_waits_until_the_status_shows_the_change(what: str) -> None:
    server = FakeServer()

    answer = asyncio.ensure_future(CHANGES[what](server))
    for _ in range(5):
        await asyncio.sleep(0)
    is_early = answer.done()
    server.engine.shown.set_result(None)
    await asyncio.wait_for(answer, 5)

    assert not is_early


@pytest.mark.parametrize("name", ["base", "tiny"])
async def test_the_bare_models_names_are_not_given_away(name: str) -> None:
    server: Any = FakeServer()

    with pytest.raises(BadRequest, match="bare model"):
        await registration.register(server, order(name))
