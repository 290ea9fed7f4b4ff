"""Encoding beside the event loop: lanes do not wait for others, lines are bounded."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from hotswap.api import encoders
from hotswap.api.encoders import Encoders
from hotswap.errors import BadRequest, Overloaded


class Work:
    """Stands for an encoding."""

    def __init__(self, do: Callable[[], None] = lambda: None, size: int = 1) -> None:
        self.size = size
        self.do = do

    def __call__(self) -> None:
        self.do()


class Stuck:
    """Works that do not end before they are told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.count = 0
        self.go: Future[None] = Future()

    def __call__(self) -> None:
        self.count += 1
        self.begun.release()
        self.go.result(10)


def run(test: Callable[[Encoders, Stuck], object]) -> None:
    """On an event loop, with encoders that are closed afterwards."""

    async def main() -> None:
        made, stuck = Encoders(), Stuck()
        try:
            await asyncio.wait_for(test(made, stuck), 20)  # type: ignore[arg-type]
        finally:
            stuck.go.set_result(None)
            made.close()

    asyncio.run(main())


async def done(made: Encoders, lane: str, *works: Work) -> None:
    await made.run(lane, works)  # type: ignore[arg-type]


def begin(made: Encoders, lane: str, work: Callable[[], None]) -> "asyncio.Task[None]":
    return asyncio.create_task(done(made, lane, Work(work)))


async def has_begun(stuck: Stuck) -> None:
    await asyncio.to_thread(stuck.begun.acquire)


def test_a_lane_does_not_wait_for_another() -> None:
    async def test(made: Encoders, stuck: Stuck) -> None:
        tasks = [begin(made, "slow", stuck) for _ in range(20)]
        await has_begun(stuck)

        for number in range(50):
            await done(made, f"lane {number}", Work())

        assert stuck.count == 1
        assert not any(task.done() for task in tasks)

    run(test)


def test_who_leaves_does_not_free_a_lane_that_still_works() -> None:
    async def test(made: Encoders, stuck: Stuck) -> None:
        for _ in range(10):
            task = begin(made, "slow", stuck)
            await asyncio.sleep(0)
            if not stuck.count:
                await has_begun(stuck)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        await done(made, "other", Work())
        assert stuck.count == 1

    run(test)


def test_a_line_is_bounded_in_works_and_in_characters() -> None:
    async def test(made: Encoders, stuck: Stuck) -> None:
        tasks = [begin(made, "slow", stuck) for _ in range(encoders._MOST_IN_LINE)]
        await has_begun(stuck)

        with pytest.raises(Overloaded):
            await done(made, "slow", Work())
        with pytest.raises(Overloaded):
            await done(made, "other", Work(size=encoders._MOST_SIZE))
        await done(made, "other", Work(size=encoders._MOST_SIZE - len(tasks)))

    run(test)


def test_what_a_work_raises_is_raised_and_the_lane_goes_on() -> None:
    def fail() -> None:
        raise BadRequest("no", "prompt")

    async def test(made: Encoders, _: Stuck) -> None:
        for _ in range(3):
            with pytest.raises(BadRequest, match="no"):
                await done(made, "lane", Work(fail, encoders._MOST_SIZE))

    run(test)


def test_closing_lets_nobody_wait() -> None:
    async def test(made: Encoders, stuck: Stuck) -> None:
        tasks = [begin(made, "slow", stuck) for _ in range(3)]
        await has_begun(stuck)

        made.close()

        done, _ = await asyncio.wait(tasks[1:], timeout=10)
        assert all(task.cancelled() for task in done)
        assert len(done) == 2

    run(test)


def test_long_works_do_not_hold_up_short_ones_of_the_same_lane() -> None:
    async def test(made: Encoders, stuck: Stuck) -> None:
        long = asyncio.create_task(done(made, "", Work(stuck, encoders._LONG + 1)))
        await has_begun(stuck)

        await done(made, "", Work())

        assert not long.done()

    run(test)
