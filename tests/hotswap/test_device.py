"""A slot is built beside the steps: nobody computes with it before it is finished.

`Later` is a device whose side does nothing until somebody waits for it or lets it run,
and whose clock is its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch

from hotswap.adapters.deltas import Delta, Generation
from hotswap.errors import MergeFailed
from hotswap.model import runner as runner_module
from hotswap.model.device import Host
from hotswap.model.load import load
from hotswap.model.rows import Row
from hotswap.model.runner import Runner
from hotswap.model.weights import Weights
from scheduler import BASE

WORK_S = 100.0  # what a swappable takes on the side, by its own clock


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
    shown: Content | None = None
    is_broken: bool = False
    written: list[Content] = field(default_factory=list)

    @property
    def parts(self) -> Mapping[str, slice]:
        return {self.name: slice(None)}

    @property
    def golden_tensors(self) -> Sequence[torch.Tensor]:
        return []

    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]:
        return {}

    def build(
        self, generation: Generation, before: Content | None, device: object
    ) -> Content:
        if self.is_broken:
            raise RuntimeError("injected")
        content = before or Content()

        def write() -> None:
            in_use = content.is_resident and self.has_golden
            assert not in_use, "the slot in use was written"
            content.holds = generation.key
            self.device.clock_s += WORK_S

        self.device.later(write)
        return content

    def point(self, content: Content | None) -> None:
        if self.shown is not None:
            self.shown.is_resident = False
        self.shown = content
        if content is not None:
            content.is_resident = True


def made(slots: int = 2, **kwargs: bool) -> tuple[Later, list[FakeSwappable], Weights]:
    device = Later()
    swappables = [FakeSwappable(name, device, **kwargs) for name in "xy"]
    return device, swappables, Weights(swappables, slots, device)


def generation(key: str, *paths: str) -> Generation:
    delta = Delta(a=torch.ones(1, 1), b=torch.ones(1, 1), scale=1.0)
    return Generation(key=key, deltas=dict.fromkeys(paths or ("x", "y"), delta))


def shown(swappables: list[FakeSwappable]) -> list[str]:
    """What each swappable computes with now."""
    return [
        swappable.shown.holds if swappable.shown else BASE for swappable in swappables
    ]


def test_a_slot_holds_nothing_until_the_side_has_finished_it() -> None:
    device, swappables, weights = made()
    a = generation("a")

    assert weights.prepare(a, 10.0) is None
    assert weights.prepare(a, 10.0) is None
    assert weights.warm == {BASE}
    device.run()
    seconds = weights.prepare(a, 10.0)

    assert seconds == pytest.approx(2 * WORK_S), "by the side's clock, not the host's"
    assert weights.warm == {BASE, "a"}
    swap = weights.activate(a)
    assert swap is not None
    assert swap.warm
    assert swap.seconds < WORK_S
    assert shown(swappables) == ["a", "a"]


def test_a_flip_waits_for_what_the_side_still_writes() -> None:
    _, swappables, weights = made()
    a = generation("a")
    weights.prepare(a, 10.0)

    swap = weights.activate(a)

    assert shown(swappables) == ["a", "a"]
    assert swap is not None
    assert not swap.warm
    assert swap.seconds == pytest.approx(2 * WORK_S, rel=0.01)


def test_slices_add_up_to_what_they_took() -> None:
    device, _, weights = made()
    a = generation("a")

    found = [weights.prepare(a, 0.0) for _ in range(3)]
    device.run()

    assert found == [None, None, None]
    assert weights.prepare(a, 0.0) == pytest.approx(2 * WORK_S)


def test_a_build_given_up_on_the_side_does_not_show_in_the_next() -> None:
    _, swappables, weights = made(slots=1)
    weights.activate(generation("a"))
    weights.activate(None)
    weights.prepare(generation("b"), 10.0)

    weights.activate(generation("c"))

    assert shown(swappables) == ["c", "c"]
    assert weights.warm == {BASE, "c"}


def test_the_slot_in_use_is_not_written_while_another_is_built() -> None:
    device, swappables, weights = made(slots=2)
    weights.activate(generation("a"))
    for key in "bcd":  # FakeSwappable fails on a write to a resident content
        other = generation(key)
        weights.prepare(other, 10.0)
        device.run()
        weights.prepare(other, 10.0)

        assert shown(swappables) == ["a", "a"]
        assert weights.warm == {BASE, "a", key}


def test_a_step_is_over_when_it_returns(
    model_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Later()
    monkeypatch.setattr(runner_module, "device_of", lambda _: device)
    loaded = load(str(model_folder), "float32", "cpu")
    runner = Runner(loaded, slots=1, kv_tokens=64)
    runner.open(1, 4)

    runner.run(
        [Row(job=1, tokens=[3], position=0, generation=None, wants_logits=False)],
        mixed=False,
    )

    assert device.log == ["finish"]


def test_without_golden_the_bare_model_is_held_by_a_slot_like_any_other() -> None:
    _, swappables, weights = made(slots=2, has_golden=False)

    assert weights.resident == BASE
    assert shown(swappables) == [BASE, BASE]
    kinds = []
    for wanted in (generation("a", "x"), None, generation("b"), None):
        kinds.append(swap.warm if (swap := weights.activate(wanted)) else None)
        assert weights.resident == (wanted.key if wanted else BASE)
        assert set(shown(swappables)) == {weights.resident}, (
            "no swappable shows another"
        )

    assert kinds == [False, True, False, True]


def test_without_golden_one_slot_is_enough() -> None:
    _, swappables, weights = made(slots=1, has_golden=False)

    for wanted in (generation("a"), None, generation("b"), generation("a")):
        swap = weights.activate(wanted)
        assert swap is not None
        assert not swap.warm
        assert weights.warm == {wanted.key if wanted else BASE}
        assert set(shown(swappables)) == weights.warm
    weights.forget("a")

    assert weights.warm == set()
    weights.activate(None)
    assert weights.resident == BASE
    assert shown(swappables) == [BASE, BASE]


def test_without_golden_a_failed_merge_leaves_the_bare_model_resident() -> None:
    _, swappables, weights = made(slots=1, has_golden=False)
    weights.activate(generation("a"))
    broken = FakeSwappable.build

    def fail(self: FakeSwappable, generation: Generation, *rest: object) -> Content:
        self.is_broken = generation.key == "b" and self.name == "y"
        return broken(self, generation, *rest)  # type: ignore[arg-type]

    for swappable in swappables:
        swappable.build = fail.__get__(swappable)  # type: ignore[method-assign]

    with pytest.raises(MergeFailed, match="b: injected"):
        weights.activate(generation("b"))

    assert weights.resident == BASE
    assert shown(swappables) == [BASE, BASE]
