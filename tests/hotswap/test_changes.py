"""A change is answered when it can be seen, also if the engine shows it late."""

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from hotswap.adapters.origin import Origin
from hotswap.api import changes
from hotswap.errors import BadRequest


class FakeLibrary:
    """Whatever it is told is done at once."""

    def _done(self, *_: object, **__: object) -> "Future[str]":
        future: Future[str] = Future()
        future.set_result("new")
        return future

    register = update = unregister = _done


@dataclass
class FakeEngine:
    """Its status shows a change when the test says so."""

    mark: "Future[None]" = field(default_factory=Future)

    def seen(self) -> "Future[None]":
        return self.mark


@dataclass
class FakeServing:
    engine: FakeEngine = field(default_factory=FakeEngine)
    library: FakeLibrary = field(default_factory=FakeLibrary)
    names: tuple[str, ...] = ("tiny",)


def change(serving: Any, what: str) -> Any:
    match what:
        case "register":
            return changes.register(serving, "a", Origin(src="x"))
        case "update":
            return changes.update(serving, "a", pin=True, options={})
        case _:
            return changes.unregister(serving, "a")


@pytest.mark.parametrize("what", ["register", "update", "unregister"])
def test_an_answer_waits_until_the_status_shows_the_change(what: str) -> None:
    async def scene() -> tuple[bool, bool]:
        serving = FakeServing()
        answer = asyncio.ensure_future(change(serving, what))
        for _ in range(5):
            await asyncio.sleep(0)
        before = answer.done()
        serving.engine.mark.set_result(None)
        await asyncio.wait_for(answer, 5)
        return before, answer.done()

    assert asyncio.run(scene()) == (False, True)


@pytest.mark.parametrize("name", ["base", "tiny"])
def test_the_bare_models_names_are_not_given_away(name: str) -> None:
    async def scene() -> None:
        await changes.register(FakeServing(), name, Origin(src="x"))  # type: ignore[arg-type]

    with pytest.raises(BadRequest, match="bare model"):
        asyncio.run(scene())
