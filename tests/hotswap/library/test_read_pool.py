"""A few reads at once; whoever takes long, or never comes back, holds up nobody."""

import threading
from collections.abc import Iterator

import pytest

from hotswap.errors import AdapterRefused
from hotswap.library.read_pool import ReadPool
from hotswap.short_thread import at_disk
from tests.servers import wait_until

DISK_PATIENCE_S = 0.05


class Table:
    """A read pool, what came of each read, and reads that wait to be let go."""

    def __init__(self, disk_patience_s: float) -> None:
        self.woken = threading.Event()
        self.pool: ReadPool[str] = ReadPool(self.woken.set, disk_patience_s)
        self.told: dict[str, str] = {}
        self.gate = threading.Event()
        self.first = threading.Event()
        self.begun: list[str] = []

    def read(self, name: str, kind: str, *, is_urgent: bool = False) -> None:
        def work() -> str:
            self.begun.append(name)
            if kind == "slow":
                assert self.gate.wait(20)
            elif kind == "first":
                assert self.first.wait(20)
            elif kind == "dead":
                with at_disk():
                    assert self.gate.wait(20)
            return kind

        def then(found: str | None, error: BaseException | None) -> None:
            self.told[name] = str(found if error is None else error)
            if isinstance(error, AdapterRefused):
                assert error.is_passing

        self.pool.read(name, work, then, is_urgent=is_urgent)

    def is_told(self, *names: str) -> bool:
        self.pool.poll()
        return self.told.keys() >= set(names)


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table(DISK_PATIENCE_S)
    yield table
    table.gate.set()


def test_a_result_is_handed_on_when_somebody_looks(table: Table) -> None:
    table.read("one", "plain")
    assert table.woken.wait(10)
    assert table.told == {}

    table.pool.poll()

    assert table.told == {"one": "plain"}
    assert table.pool.is_idle


@pytest.mark.parametrize("kind", ["slow", "dead"])
def test_those_that_take_long_do_not_hold_up_the_rest(kind: str, table: Table) -> None:
    for number in range(6):
        table.read(f"long{number}", kind)
    table.read("last", "plain")
    assert len(table.begun) == 2, "a few at once"

    wait_until(lambda: table.is_told("last"))

    table.gate.set()
    wait_until(lambda: table.is_told(*(f"long{n}" for n in range(6))))
    wait_until(lambda: table.is_told() and table.pool.is_idle)


def test_one_whose_disk_does_not_answer_is_given_up_and_one_that_computes_is_not(
    table: Table,
) -> None:
    table.read("dead", "dead")
    table.read("slow", "slow")
    wait_until(lambda: table.is_told("dead"))
    wait_until(lambda: table.pool.stuck == 1)

    table.read("dead", "plain")  # again, while it has not come back
    assert "has not answered" in table.told.pop("dead")
    assert "slow" not in table.told

    table.gate.set()
    wait_until(lambda: table.is_told("slow") and table.pool.stuck == 0)
    table.read("dead", "plain")
    wait_until(lambda: table.is_told("dead"))
    assert table.told["dead"] == "plain"


def test_there_is_a_bound_on_reads_that_do_not_come_back(table: Table) -> None:
    for number in range(40):
        table.read(f"dead{number}", "dead")
    wait_until(lambda: table.is_told() and table.pool.stuck == 32)
    table.read("last", "plain")

    table.pool.poll()
    assert len(table.begun) == 32

    table.gate.set()
    wait_until(lambda: table.is_told("last"))


def test_who_is_waited_for_is_the_next() -> None:
    table = Table(disk_patience_s=60)  # so long a slow one counts among the few
    table.read("slow", "slow")
    table.read("first", "first")
    wait_until(lambda: len(table.begun) == 2)
    for name in ("c", "d"):
        table.read(name, "plain")
    table.read("urgent", "plain", is_urgent=True)
    table.pool.hurry("d")

    table.first.set()
    wait_until(lambda: table.is_told("c"))
    table.gate.set()

    assert table.begun[2:] == ["d", "urgent", "c"]


def test_what_there_is_no_thread_for_is_read_later_and_holds_up_no_result(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    table.read("done", "plain")
    assert table.woken.wait(10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        table.read("later", "plain")
    assert table.told == {"done": "plain"}
    assert not table.pool.is_idle

    wait_until(lambda: table.is_told("later"))
