"""A change is answered when it can be seen, also if the engine shows it late."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hotswap.adapters.listing import AdapterState, Card, Listing
from hotswap.adapters.origin import Origin
from hotswap.api import changes
from hotswap.errors import BadRequest

CARD = Card(
    generation="new",
    rank=1,
    modules=1,
    nbytes=1,
    can_merge=True,
    can_mix=True,
    note=None,
    merge_loss=None,
    warnings=(),
)
ROW = Listing(
    name="a",
    state=AdapterState.READY,
    reason=None,
    origin=Origin(src="x"),
    card=CARD,
    is_loaded=True,
    leases=0,
    requests=0,
)


def done(value: object = None) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(value)
    return future


@dataclass
class Status:
    adapters: tuple[Listing, ...] = ()


class FakeEngine:
    """Shows one listing after the other, each to one look; the last one stays."""

    is_alive = True

    def __init__(self, *shown: Listing | None) -> None:
        self._shown = shown or (None,)
        self.looks = 0

    @property
    def status(self) -> Status:
        row = self._shown[min(self.looks, len(self._shown) - 1)]
        self.looks += 1
        return Status((row,) if row else ())


class FakeLibrary:
    """Whatever it is told is done at once; the engine's listing is the test's."""

    def register(self, *_: object, **__: object) -> "Future[str]":
        return done("new")

    def update(self, *_: object, **__: object) -> "Future[None]":
        return done()

    def unregister(self, *_: object) -> "Future[None]":
        return done()


@dataclass
class FakeServing:
    engine: FakeEngine
    library: FakeLibrary = field(default_factory=FakeLibrary)
    base: str = "tiny"


def origin(**changed: Any) -> Listing:
    return replace(ROW, origin=replace(ROW.origin, **changed))


def register(serving: Any) -> Coroutine[Any, Any, object]:
    return changes.register(serving, "a", ROW.origin)


def unregister(serving: Any) -> Coroutine[Any, Any, object]:
    return changes.unregister(serving, "a")


def updating(**given: Any) -> Callable[[Any], Coroutine[Any, Any, object]]:
    return lambda serving: changes.update(serving, "a", options={}, **given)


OLD = replace(ROW, card=replace(CARD, generation="old"))
FAILED = replace(ROW, state=AdapterState.FAILED)
CASES: dict[
    str, tuple[Callable[[Any], Coroutine[Any, Any, object]], list[Any], Any]
] = {
    "a new name": (register, [None], ROW),
    "a new generation": (register, [OLD], ROW),
    "a name that had failed": (register, [FAILED], ROW),
    "a pin": (updating(pin=True), [ROW], origin(pin=True)),
    "an unpin": (updating(pin=False), [origin(pin=True)], ROW),
    "a preload": (updating(preload=False), [ROW], origin(preload=False)),
    "an alias": (updating(alias="A"), [ROW], origin(alias="A")),
    "a name that goes": (unregister, [ROW, OLD], None),
}


@pytest.mark.parametrize(("change", "before", "after"), CASES.values(), ids=list(CASES))
def test_an_answer_waits_until_the_listing_shows_the_change(
    change: Callable[[Any], Coroutine[Any, Any, object]], before: list[Any], after: Any
) -> None:
    serving = FakeServing(FakeEngine(*before, after))

    async def scene() -> None:
        await asyncio.wait_for(change(serving), 5)

    asyncio.run(scene())

    assert serving.engine.looks == len(before) + 1


def test_nobody_waits_for_an_engine_that_has_ended() -> None:
    serving = FakeServing(FakeEngine(ROW))
    serving.engine.is_alive = False

    async def scene() -> None:
        await asyncio.wait_for(changes.unregister(serving, "a"), 5)

    asyncio.run(scene())

    assert serving.engine.looks == 0


@pytest.mark.parametrize("name", ["base", "tiny"])
def test_the_bare_models_names_are_not_given_away(name: str) -> None:
    async def scene() -> None:
        await changes.register(FakeServing(FakeEngine()), name, ROW.origin)

    with pytest.raises(BadRequest, match="bare model"):
        asyncio.run(scene())
