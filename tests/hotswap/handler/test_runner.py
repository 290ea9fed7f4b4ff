"""Calls of the operator's code: bounded, and none ends or holds up the server's own."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

import pytest

from hotswap.errors import Overloaded, Stopping, Vetoed
from hotswap.handler import runner as runner_module
from hotswap.handler.runner import Runner
from tests.servers import wait_until

asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")


@pytest.fixture
def quick() -> Iterator[Runner]:
    made = Runner(limit_s=0.05, most_waiting=3)
    yield made
    made.close()


@pytest.fixture
def patient() -> Iterator[Runner]:
    made = Runner(most_waiting=3)
    yield made
    made.close()


def endless() -> None:
    while True:
        pass


def answered(runner: Runner, work: Callable[[], Any] = lambda: 1) -> Any:
    return runner.call("f", work).result(10)


class Gate:
    """Work that waits for the test, where no exception reaches it."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self) -> int:
        self.begun.set()
        assert self.open.wait(20), "the test forgot it"
        return 2


def test_plain_calls_are_made_one_at_a_time_in_order(patient: Runner) -> None:
    gate, made = Gate(), []
    first = patient.call("f", gate)
    assert gate.begun.wait(10)
    later = [patient.call("f", lambda n=n: made.append(n)) for n in range(2)]  # type: ignore[misc]
    urgent = patient.call("f", lambda: made.append("urgent"), is_urgent=True)
    assert not made

    gate.open.set()
    for future in (first, urgent, *later):
        future.result(10)

    assert made == ["urgent", 0, 1]


def test_more_threads_make_more_calls_at_once() -> None:
    runner, gates = Runner(threads=2), [Gate(), Gate()]
    futures = [runner.call("f", gate) for gate in gates]

    assert all(gate.begun.wait(10) for gate in gates)

    for gate in gates:
        gate.open.set()
    assert [future.result(10) for future in futures] == [2, 2]
    runner.close()


def test_too_many_that_wait_are_refused_but_for_urgent_ones(patient: Runner) -> None:
    gate = Gate()
    patient.call("f", gate)
    assert gate.begun.wait(10)
    waiting = [patient.call("f", lambda: 1) for _ in range(3)]

    with pytest.raises(Overloaded):
        patient.call("f", lambda: 1)
    waiting.append(patient.call("f", lambda: 1, is_urgent=True))
    gate.open.set()

    assert [future.result(10) for future in waiting] == [1] * 4


def test_one_that_is_cancelled_before_it_begins_is_not_made(patient: Runner) -> None:
    gate, made = Gate(), []
    patient.call("f", gate)
    assert gate.begun.wait(10)
    later = patient.call("f", lambda: made.append(1))

    assert later.cancel()
    gate.open.set()

    assert answered(patient) == 1
    assert not made


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_whatever_is_raised_comes_to_who_asked(
    patient: Runner, error: type[BaseException]
) -> None:
    def fails() -> None:
        raise error

    with pytest.raises(error):
        answered(patient, fails)

    assert answered(patient) == 1


def test_a_loop_without_an_end_is_ended(quick: Runner) -> None:
    with pytest.raises(Vetoed, match=r"f has not finished within 0\.05 s"):
        answered(quick, endless)

    assert answered(quick) == 1
    wait_until(lambda: quick.lost == 0)


@pytest.mark.alone  # untraced: a tracer and a pending exception spin in Python 3.11
def test_what_no_exception_reaches_is_left_behind(quick: Runner) -> None:
    gate = Gate()
    with pytest.raises(Vetoed):
        answered(quick, gate)

    assert answered(quick) == 1
    assert quick.lost == 1
    gate.open.set()
    wait_until(lambda: quick.lost == 0)


@pytest.mark.alone  # untraced: a tracer and a pending exception spin in Python 3.11
def test_so_many_may_be_left_behind(
    quick: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_MOST_LOST", 2)
    gates = [Gate(), Gate()]
    for gate in gates:
        with pytest.raises(Vetoed):
            answered(quick, gate)

    with pytest.raises(Vetoed, match="2 calls hang"):
        quick.call("f", lambda: 1)
    gates[0].open.set()
    wait_until(lambda: quick.lost == 1)

    assert answered(quick) == 1
    gates[1].open.set()


def test_calls_that_end_about_when_their_time_does_are_settled_once() -> None:
    """The race that a gate decides: no thread dies with one of our locks."""
    runner = Runner(threads=4, limit_s=0.002, most_waiting=1000)

    def about() -> int:
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        return 1

    futures = [runner.call("f", about) for _ in range(200)]
    ends = [future.exception(20) for future in futures]

    assert {type(end) for end in ends} <= {type(None), Vetoed}
    assert runner.call("f", lambda: 1, is_limited=False).result(10) == 1
    runner.close()


def test_the_context_is_that_of_who_asks(patient: Runner) -> None:
    async def asks() -> str:
        return asked_by.get()

    asked_by.set("me")

    assert answered(patient, asked_by.get) == "me"
    assert answered(patient, asks) == "me"


def test_closed_it_begins_nothing(patient: Runner) -> None:
    gate = Gate()
    running = patient.call("f", gate)
    assert gate.begun.wait(10)
    waiting: Future[Any] = patient.call("f", lambda: 1)

    patient.close()

    with pytest.raises(Stopping):
        waiting.result(10)
    with pytest.raises(Stopping):
        patient.call("f", lambda: 1)
    gate.open.set()
    assert running.result(10) == 2


async def blocked() -> None:
    endless()


def test_a_coroutine_that_blocks_its_loop_is_ended(
    quick: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_GRACE_S", 0.05)

    async def well() -> int:
        return 1

    with pytest.raises(Vetoed):
        answered(quick, blocked)
    wait_until(lambda: quick.call("f", well).exception(10) is None)
    wait_until(lambda: quick.lost == 0)
