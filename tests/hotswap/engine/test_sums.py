"""A sum of adapters is made when it is asked for, and kept as a cache."""

import asyncio

import pytest

from hotswap.adapters.composition import parse
from hotswap.adapters.host_memory import MOST_SUMS
from hotswap.adapters.origin import Origin, of_sum
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Composed, Refuse, Retire
from hotswap.engine.sums import SumOrder
from hotswap.errors import BadSum, MergeFailed, MixFailed, Overloaded, UnknownAdapter
from tests.engines import Start, leased, submit, text_of, until
from tests.fakes import FakeExecutor, expected, generation


def with_letter(template: str, **keys: str) -> str:
    """A sum whose key begins with a letter, which the fake model can say."""
    for number in range(2, 1000):
        text = template.format(number)
        if parse(text).key(keys)[0] in "abcdef":
            return text
    raise AssertionError(template)


SUM = with_letter("a+b*{}", a="a", b="b")
KEY = parse(SUM).key({"a": "a", "b": "b"})


class Composer:
    """Keeps what it is asked for; `answer` makes it."""

    def __init__(self) -> None:
        self.orders: list[SumOrder] = []
        self.engine: Engine
        self.answers = True

    def __call__(self, order: SumOrder) -> None:
        self.orders.append(order)
        if self.answers:
            self.answer(order)

    def answer(self, order: SumOrder) -> None:
        self.engine.post(Composed(order, generation(order.key)))


@pytest.fixture
def composer() -> Composer:
    return Composer()


@pytest.fixture
async def engine(start: Start, model: FakeExecutor, composer: Composer) -> Engine:
    composer.engine = await start(model, compose=composer)
    return composer.engine


async def test_requests_for_a_sum_wait_until_it_is_made_once(
    engine: Engine, composer: Composer
) -> None:
    composer.answers = False
    tickets = [submit(engine, SUM) for _ in range(3)]
    await until(lambda: bool(composer.orders))
    other = await text_of(submit(engine, "a"))
    composer.answer(composer.orders[0])

    texts = await asyncio.gather(*map(text_of, tickets))
    again = await text_of(submit(engine, SUM))

    (order,) = composer.orders
    assert other == expected("a", 3, 10)
    assert [*texts, again] == [expected(KEY, 3, 10)] * 4
    assert [(p.name, p.generation.key) for p in order.parts] == [("a", "a"), ("b", "b")]


async def test_a_replaced_part_makes_a_new_sum_and_a_stream_keeps_the_old_one(
    engine: Engine, composer: Composer, model: FakeExecutor
) -> None:
    text = with_letter("a+b*{}", a="a", b="x")
    keys = [parse(text).key({"a": "a", "b": key}) for key in "bx"]
    composer.answers = False
    early = submit(engine, text)
    await until(lambda: bool(composer.orders))
    engine.post(Adopt("b", generation("x"), Origin(src="b")))
    composer.answer(composer.orders[0])
    await until(lambda: len(composer.orders) == 2)
    composer.answer(composer.orders[1])

    assert await text_of(early) == expected(keys[1], 3, 10)
    assert [order.key for order in composer.orders] == keys


async def test_parts_on_disk_are_read_and_do_not_push_out_each_other(
    start: Start, model: FakeExecutor, composer: Composer
) -> None:
    asked: list[str] = []
    engine = await start(
        model, store=Store(max_loaded=1), fetch=asked.append, compose=composer
    )
    composer.engine = engine
    for name in "ab":
        engine.post(Adopt(name, None, Origin(src=name, preload=False)))
    ticket = submit(engine, SUM)
    await until(lambda: len(asked) == 2)
    for name in asked:
        engine.post(Adopt(name, generation(name), Origin(src=name)))

    assert await text_of(ticket) == expected(KEY, 3, 10)
    assert asked == ["a", "b"]


async def test_a_part_that_goes_is_named(engine: Engine, composer: Composer) -> None:
    await text_of(submit(engine, SUM))
    engine.post(Retire("b"))

    with pytest.raises(UnknownAdapter, match="`b`"):
        await text_of(submit(engine, SUM))

    engine.post(Refuse("c", "broken", Origin(src="c")))
    engine.post(Adopt("d", None, of_sum("a+c")))
    with pytest.raises(BadSum, match="`d` is a sum itself"):
        await text_of(submit(engine, "a+d"))


async def test_a_sum_that_cannot_be_made_fails_its_requests_alone(
    engine: Engine, composer: Composer
) -> None:
    composer.answers = False
    bad, good = submit(engine, "a+c"), submit(engine, SUM)
    await until(lambda: bool(composer.orders))
    composer.answers = True
    engine.post(Composed(composer.orders[0], BadSum("no")))

    with pytest.raises(BadSum, match="no"):
        await text_of(bad)
    assert await text_of(good) == expected(KEY, 3, 10)


async def test_a_merge_that_fails_fails_that_sum_alone(
    engine: Engine, composer: Composer, model: FakeExecutor
) -> None:
    model.weights.broken.add(KEY)
    model.unmixable.add(KEY)

    with pytest.raises((MergeFailed, MixFailed), match="injected"):
        await text_of(submit(engine, SUM))

    assert await text_of(submit(engine, "a")) == expected("a", 3, 10)
    assert [row.name for row in engine.status.adapters] == ["a", "b", "c", "d"]
    model.weights.broken.clear()
    model.unmixable.clear()
    assert await text_of(submit(engine, SUM)) == expected(KEY, 3, 10)


async def test_many_different_sums_leave_no_more_than_a_few_behind(
    engine: Engine, composer: Composer, model: FakeExecutor
) -> None:
    keys = {"a": "a", "b": "b"}
    sums = [f"a*{number / 100}+b" for number in range(1, 1000)]
    for text in sums:
        if parse(text).key(keys)[0] in "abcdef":  # a letter, which the fake can say
            await text_of(submit(engine, text, tokens=1))
    await text_of(submit(engine, "a"))

    status = engine.status
    assert sum(row.is_nameless for row in status.adapters) <= MOST_SUMS
    assert [r.name for r in status.adapters if not r.is_nameless] == [*"abcd"]
    assert leased(engine) == []


async def test_more_sums_at_once_than_may_be_are_told_to_come_again(
    engine: Engine, composer: Composer
) -> None:
    composer.answers = False
    tickets = [submit(engine, f"a*{n}+b") for n in range(2, MOST_SUMS + 2)]

    with pytest.raises(Overloaded, match="no room for another"):
        await text_of(submit(engine, "a*500+b"))

    for ticket in tickets:
        ticket.close()
    composer.answer(composer.orders[0])
    assert len(composer.orders) == 1, "nobody waits for the others"
