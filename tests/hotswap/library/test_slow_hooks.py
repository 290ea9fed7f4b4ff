"""A hook that takes its time holds up its own name only."""

import threading
from collections.abc import Iterator

import pytest

from hotswap.errors import NoRoom, Vetoed
from hotswap.handler.runner import Runner
from hotswap.library.hooks import Hooks
from tests.hotswap.library.desk import Desk
from tests.servers import wait_until


class Slow:
    """A module's functions; that of the name `one` waits for the test."""

    def __init__(self) -> None:
        self.begun, self.gate = threading.Event(), threading.Event()
        self.gone: list[str] = []

    def register_adapter(self, name: str, **_: object) -> None:
        if name == "one":
            self.begun.set()
            assert self.gate.wait(20), "the test forgot it"

    def unregister_adapter(self, name: str) -> None:
        self.gone.append(name)

    def hooks(self, runner: Runner) -> Hooks:
        names = ("register_adapter", "unregister_adapter")
        return Hooks({name: getattr(self, name) for name in names}, runner=runner)


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.gate.set()


def test_other_names_come_and_go_meanwhile(desk: Desk, slow: Slow) -> None:
    desk.library.stop()
    desk.open(hooks=slow.hooks(Runner(threads=2)))
    first = desk.ask("one", "stock/a")
    assert slow.begun.wait(10)

    desk.register("two", "stock/b")
    desk.library.unregister("two").result(10)
    assert not first.done()
    slow.gate.set()

    assert first.result(10).generation == "a"
    assert slow.gone == ["two"]


def test_folders_are_read_while_a_hook_holds_its_only_thread(
    desk: Desk, slow: Slow
) -> None:
    desk.library.stop()
    desk.open(hooks=slow.hooks(Runner()))
    first = desk.ask("one", "stock/a")
    assert slow.begun.wait(10)

    assert desk.library.examine("stock/b").result(10).key == "b"
    slow.gate.set()

    assert first.result(10).generation == "a"


def test_the_room_is_looked_at_again_and_the_hook_is_told(
    desk: Desk, slow: Slow
) -> None:
    desk.library.stop()
    desk.open(hooks=slow.hooks(Runner(threads=2)), max_adapters=1)
    first = desk.ask("one", "stock/a")
    assert slow.begun.wait(10)
    desk.register("two", "stock/b")
    slow.gate.set()

    with pytest.raises(NoRoom):
        first.result(10)

    assert slow.gone == ["one"]
    assert desk.told() == [("adopt", "two", "b")]


@pytest.mark.alone  # untraced: a tracer and a pending exception spin in Python 3.11
def test_one_that_does_not_end_refuses_and_frees_its_name(
    desk: Desk, slow: Slow
) -> None:
    desk.library.stop()
    runner = Runner(limit_s=0.05)
    desk.open(hooks=slow.hooks(runner))

    with pytest.raises(Vetoed, match=r"register_adapter has not finished within"):
        desk.register("one", "stock/a")

    slow.gate.set()
    wait_until(lambda: runner.lost == 0)
    assert desk.register("two", "stock/b") == "b"
