"""No adapter and no API key keeps the others out of the queue."""

import asyncio
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.awaited import Awaited, Waiting
from hotswap.engine.messages import Adopt, Submit
from hotswap.engine.queue_limits import Admission, QueueLimits
from hotswap.errors import Overloaded
from hotswap.sampling_params import SamplingParams
from scheduler import POLICIES, Job
from tests.engines import Start, small_scheduler, submit, text_of
from tests.fakes import FakeExecutor, generation

MOST = 12


class Ask(Protocol):
    """Asks one more job in; says what it was refused with."""

    def __call__(self, adapter: str, key_name: str | None = None) -> str | None: ...


OWNERS = st.tuples(st.sampled_from("abc"), st.sampled_from([None, "k", "l"]))


class _NoTicket:
    job = 0


def message(adapter: str, key_name: str | None) -> Submit:
    return Submit(
        ticket=_NoTicket(),  # type: ignore[arg-type]
        adapter=adapter,
        prompt=(1,),
        params=SamplingParams(),
        key_name=key_name,
    )


def queue(limits: QueueLimits | None) -> Ask:
    scheduler = small_scheduler(POLICIES["affinity"](), max_waiting=MOST)
    awaited = Awaited(lambda name: None)
    admission = Admission(scheduler, awaited, limits)

    def ask(adapter: str, key_name: str | None = None) -> str | None:
        asked = message(adapter, key_name)
        try:
            admission.check(asked, is_new=True)
        except Overloaded as error:
            return str(error)
        if (number := scheduler.waiting + len(awaited)) % 3 == 2:
            awaited.add(adapter, Waiting(asked, 0))
        else:
            scheduler.submit(
                Job(
                    id=number,
                    generation=adapter,
                    prompt_tokens=1,
                    max_tokens=1,
                    arrival=0,
                    queues=asked.queues,
                )
            )
        scheduler.check()
        return None

    return ask


def let_in(ask: Ask, *owner: str | None) -> int:
    """How many of it are let in until one is not."""
    adapter = owner[0] or ""
    key_name = owner[1] if len(owner) > 1 else None
    count = 0
    while ask(adapter, key_name) is None:
        count += 1
    return count


def test_one_alone_has_half_of_the_queue_and_the_next_a_part_of_the_rest() -> None:
    ask = queue(QueueLimits())

    assert [let_in(ask, each) for each in ("a", "b", "c")] == [6, 3, 2]
    assert ask("d") is None


def test_without_limits_the_first_takes_all() -> None:
    ask = queue(None)

    assert let_in(ask, "a") == MOST
    assert ask("b") == (
        "the queue is full: 12 jobs wait already (`schedule.max_waiting`)"
    )


def test_who_is_refused_is_told_by_what() -> None:
    ask = queue(QueueLimits(per_adapter=2, per_key=3))

    assert let_in(ask, "a", "mine") == 2
    assert ask("a", "mine") == (
        "2 jobs wait already for the adapter `a`, as many as may "
        "(`limits.waiting_per_adapter`)"
    )
    assert let_in(ask, "b", "mine") == 1
    assert ask("", "mine") == (
        "3 jobs wait already for the API key `mine`, as many as may "
        "(`limits.waiting_per_key`)"
    )
    assert let_in(ask, "", "other") == 2
    assert "the adapter `base`" in str(ask("base", "other"))


@given(st.lists(OWNERS, max_size=60))
def test_whoever_has_nothing_waiting_finds_room(
    asked: list[tuple[str, str | None]],
) -> None:
    ask = queue(QueueLimits())
    for adapter, key_name in asked:
        ask(adapter, key_name)

    assert ask("newcomer", "of his own") is None


async def test_a_flood_of_one_adapter_refuses_itself_and_the_others_are_served(
    start: Start, model: FakeExecutor
) -> None:
    store, limits = Store(), QueueLimits(per_adapter=2)
    engine = await start(model, store=store, max_waiting=4, queue_limits=limits)
    engine.post(Adopt("late", None, Origin(src="late", preload=False)))
    flood = [submit(engine, "late") for _ in range(2)]  # they wait for the disk

    with pytest.raises(Overloaded, match="waiting_per_adapter"):
        await text_of(submit(engine, "late"))
    assert await text_of(submit(engine, "a"))

    for ticket in flood:
        ticket.close()
    again = submit(engine, "late")
    await asyncio.wrap_future(engine.sync())
    assert engine.status.counters.refused == 1
    again.close()


async def test_who_has_come_from_the_disk_waits_there_no_more(
    start: Start, model: FakeExecutor
) -> None:
    store, limits = Store(), QueueLimits(per_adapter=2)
    engine = await start(model, store=store, queue_limits=limits)
    for name in ("late", "later"):
        engine.post(Adopt(name, None, Origin(src=name, preload=False)))
        asked = [submit(engine, name) for _ in range(2)]

        engine.post(Adopt(name, generation(name), Origin(src=name)))

        assert all([await text_of(each) for each in asked])
        assert await text_of(submit(engine, name))


def test_who_leaves_the_queue_is_counted_no_more() -> None:
    scheduler = small_scheduler(POLICIES["affinity"]())
    for number in range(3):
        scheduler.submit(
            Job(
                id=number,
                generation="a",
                prompt_tokens=1,
                max_tokens=1,
                arrival=0,
                queues=("one", number),
            )
        )

    scheduler.cancel(1)

    scheduler.check()
    assert scheduler.queued == {"one": 2, 0: 1, 2: 1}
