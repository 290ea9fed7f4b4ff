"""A device that is late: its side does nothing until somebody waits for it or lets it
run, and its clock is its own. What slots hold on it tells how far the side has come.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.machine.device import Host
from hotswap.model.weights.weights import Weights
from scheduler import BASE

WORK_S = 100.0  # what one layer takes on the side, by its own clock


class LaterEvent:
    def __init__(self, device: "Later") -> None:
        self._device = device
        self._at_s: float | None = None

    def reach(self) -> None:
        self._at_s = self._device.clock_s

    def is_done(self) -> bool:
        return self._at_s is not None

    def wait(self) -> None:
        self._device.run()
        assert self.is_done()

    def since(self, earlier: "LaterEvent") -> float:
        assert self._at_s is not None
        assert earlier._at_s is not None
        return self._at_s - earlier._at_s


class Later(Host):
    def __init__(self) -> None:
        self.clock_s = 0.0
        self.log: list[str] = []
        self._queue: list[Callable[[], None]] = []
        self._is_aside = False

    @contextmanager
    def side(self) -> Iterator[None]:
        assert not self._is_aside
        self._is_aside = True
        try:
            yield
        finally:
            self._is_aside = False

    def later(self, work: Callable[[], None]) -> None:
        assert self._is_aside, "a slot was built in the way of the steps"
        self._queue.append(work)

    def record(self) -> LaterEvent:  # type: ignore[override]
        mark = LaterEvent(self)
        self.later(mark.reach)
        return mark

    def finish(self) -> None:
        self.log.append("finish")

    def run(self) -> None:
        for work in self._queue:
            work()
        self._queue.clear()


@dataclass
class Content:
    holds: str = ""  # as far as the side has come
    is_resident: bool = False


@dataclass(eq=False)
class FakeSwappable:
    name: str
    device: Later
    has_golden: bool = True
    is_fixed: bool = False
    shown: Content | None = None
    breaks_at: str = ""  # the generation that it cannot build
    grows_at: str = ""  # the generation that no memory of before fits
    made: int = 0  # contents, each with memory of its own
    built: int = 0

    @property
    def parts(self) -> Mapping[str, slice]:
        return {self.name: slice(None)}

    @property
    def golden_tensors(self) -> Sequence[torch.Tensor]:
        return []

    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]:
        return {}

    def allocate(self) -> Content | None:
        return Content() if self.is_fixed else None

    def build(
        self, generation: Generation, before: Content | None, device: object
    ) -> Content:
        if generation.key == self.breaks_at:
            raise RuntimeError("injected")
        self.made += before is None
        self.built += 1
        grows = generation.key == self.grows_at
        content = Content() if before is None or grows else before

        def write() -> None:
            in_use = content.is_resident and self.has_golden
            assert not in_use, "the slot in use was written"
            is_copy = self.is_fixed and self.name not in generation.paths
            content.holds = BASE if is_copy else generation.key
            self.device.clock_s += WORK_S

        self.device.later(write)
        return content

    def point(self, content: Content | None) -> None:
        if self.shown is not None:
            self.shown.is_resident = False
        self.shown = content
        if content is not None:
            content.is_resident = True


def made(
    slots: int = 2, *, has_golden: bool = True, is_fixed: bool = False
) -> tuple[Later, list[FakeSwappable], Weights]:
    device = Later()
    swappables = [FakeSwappable(name, device, has_golden, is_fixed) for name in "xy"]
    return device, swappables, Weights(swappables, slots, device)


def generation(key: str, *paths: str) -> Generation:
    delta = Delta(a=torch.ones(1, 1), b=torch.ones(1, 1), scale=1.0)
    return Generation(key=key, deltas=dict.fromkeys(paths or ("x", "y"), delta))


def shown(swappables: list[FakeSwappable]) -> list[str]:
    """What each computes with now."""
    return [
        swappable.shown.holds if swappable.shown else BASE for swappable in swappables
    ]
