"""Encoding beside the event loop: no lane waits for another, each is bounded."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from hotswap.api.shared.encoder_pool import (
    LONG,
    MOST_IN_LANE,
    MOST_SIZE,
    EncoderPool,
    Encoding,
)
from hotswap.errors import BadRequest, Overloaded


class Work(Encoding):
    """Stands for an encoding."""

    def __init__(self, do: Callable[[], None] = lambda: None, size: int = 1) -> None:
        self.size = size
        self.do = do

    def __call__(self) -> None:
        self.do()


class Stuck:
    """Works that do not end before they are told to."""

    def __init__(self) -> None:
        self.count = 0
        self._begun = threading.Semaphore(0)
        self._go: Future[None] = Future()

    def __call__(self) -> None:
        self.count += 1
        self._begun.release()
        self._go.result(10)

    async def has_begun(self) -> None:
        await asyncio.to_thread(self._begun.acquire)

    def let_go(self) -> None:
        self._go.set_result(None)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.let_go()


@pytest.fixture
def pool(stuck: Stuck) -> Iterator[EncoderPool]:
    pool = EncoderPool()
    yield pool
    pool.close()


async def done(pool: EncoderPool, lane: str, *works: Work) -> None:
    async with asyncio.timeout(20):
        await pool.run(lane, works)


def begin(pool: EncoderPool, lane: str, work: Callable[[], None]) -> asyncio.Task[None]:
    return asyncio.create_task(done(pool, lane, Work(work)))


async def test_a_lane_does_not_wait_for_another(
    pool: EncoderPool, stuck: Stuck
) -> None:
    tasks = [begin(pool, "slow", stuck) for _ in range(20)]
    await stuck.has_begun()

    for number in range(50):
        await done(pool, f"lane {number}", Work())

    assert stuck.count == 1
    assert not any(task.done() for task in tasks)


async def test_who_leaves_does_not_free_a_lane_that_still_works(
    pool: EncoderPool, stuck: Stuck
) -> None:
    for _ in range(10):
        task = begin(pool, "slow", stuck)
        await asyncio.sleep(0)
        if not stuck.count:
            await stuck.has_begun()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await done(pool, "other", Work())
    assert stuck.count == 1


async def test_a_lane_is_bounded_in_works_and_in_characters(
    pool: EncoderPool, stuck: Stuck
) -> None:
    tasks = [begin(pool, "slow", stuck) for _ in range(MOST_IN_LANE)]
    await stuck.has_begun()

    with pytest.raises(Overloaded):
        await done(pool, "slow", Work())
    with pytest.raises(Overloaded):
        await done(pool, "other", Work(size=MOST_SIZE))
    await done(pool, "other", Work(size=MOST_SIZE - len(tasks)))


async def test_what_a_work_raises_is_raised_and_the_lane_goes_on(
    pool: EncoderPool,
) -> None:
    def fail() -> None:
        raise BadRequest("no", "prompt")

    for _ in range(3):
        with pytest.raises(BadRequest, match="no"):
            await done(pool, "lane", Work(fail, MOST_SIZE))


async def test_closing_lets_nobody_wait(pool: EncoderPool, stuck: Stuck) -> None:
    tasks = [begin(pool, "slow", stuck) for _ in range(3)]
    await stuck.has_begun()

    pool.close()

    ended, _ = await asyncio.wait(tasks[1:], timeout=10)
    assert all(task.cancelled() for task in ended)
    assert len(ended) == 2


async def test_long_works_do_not_hold_up_short_ones_of_the_same_lane(
    pool: EncoderPool, stuck: Stuck
) -> None:
    long = asyncio.create_task(done(pool, "", Work(stuck, LONG + 1)))
    await stuck.has_begun()

    await done(pool, "", Work())

    assert not long.done()
