"""What only an engine can get wrong that launches a step before the last has landed."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from hotswap.errors import InternalError, StepFailed, UnknownAdapter
from hotswap.model.network.rows import Row, Sample
from scheduler.policy import Plan, View, mixed
from tests.engines import Start, submit, text_of, until
from tests.fake_blocks import FakeFlight
from tests.fakes import AheadExecutor, expected


@pytest.fixture
def model() -> AheadExecutor:
    """Each release of its gate lets one step land."""
    model = AheadExecutor()
    model.gate = threading.Semaphore(0)
    return model


def in_air(model: AheadExecutor) -> list[list[int]]:
    return [flight.jobs for flight in model.in_air]


def release(model: AheadExecutor, steps: int = 1000) -> None:
    assert model.gate is not None
    model.gate.release(steps)


async def test_a_step_is_launched_before_the_last_has_landed(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model)
    ticket = submit(engine, "a")
    await until(lambda: in_air(model) == [[1], [1]])

    assert model.batches == []
    release(model)
    assert await text_of(ticket) == expected("a", 3, 10)


async def test_a_job_that_ends_by_an_end_token_is_in_the_next_step_for_nothing(
    start: Start, model: AheadExecutor
) -> None:
    model.finish_after = 5
    engine = await start(model)
    release(model)

    assert await text_of(submit(engine, "a")) == expected("a", 3, 2)
    await until(lambda: len(model.batches) == 4)
    await asyncio.wrap_future(engine.sync())
    counters = engine.status.counters
    assert (counters.generated_tokens, counters.finished) == (3, 1)


async def test_a_job_that_ends_by_its_length_is_in_no_step_for_nothing(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model)
    release(model)

    assert await text_of(submit(engine, "a", tokens=4)) == expected("a", 3, 4)
    assert await text_of(submit(engine, "a", tokens=1)) == expected("a", 3, 1)
    assert model.batches == [[1]] * 4 + [[2]]


async def test_kv_of_a_job_that_ends_by_its_length_is_free_while_its_last_step_flies(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model, kv_tokens=13)  # one has all of it
    first, second = submit(engine, "a"), submit(engine, "a")
    release(model, 9)
    await until(lambda: in_air(model) == [[1], [2]])

    assert list(model.opened) == [2]
    release(model)
    texts = [await text_of(first), await text_of(second)]
    assert texts == [expected("a", 3, 10)] * 2


async def test_kv_of_a_job_that_ended_early_goes_to_the_next_behind_its_last_flight(
    start: Start, model: AheadExecutor
) -> None:
    model.finish_after = 6
    engine = await start(model, kv_tokens=13)
    tickets = [submit(engine, name) for name in ("a", "b", "a", "b")]
    release(model)

    texts = await asyncio.gather(*map(text_of, tickets))

    assert texts == [expected(name, 3, 3) for name in ("a", "b", "a", "b")]


async def test_a_job_cancelled_in_the_air_gives_all_back_and_disturbs_nobody(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model, "fcfs-mixed")
    leaving, staying = submit(engine, "a"), submit(engine, "b")
    release(model, 2)
    await until(lambda: in_air(model) == [[1, 2], [1, 2]])
    leaving.close()
    release(model, 1)
    await until(lambda: leaving.job not in model.opened)

    assert in_air(model)[0] == [1, 2]
    release(model)
    assert await text_of(staying) == expected("b", 3, 10)
    assert engine.status.counters.cancelled == 1


async def test_a_step_that_fails_takes_its_own_jobs_and_not_those_in_the_air(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model, "fcfs-mixed")
    failing = submit(engine, "a")
    await until(lambda: in_air(model) == [[1], [1]])
    joining = submit(engine, "b")
    release(model, 1)
    await until(lambda: in_air(model) == [[1], [1, 2]])

    model.fail_next = RuntimeError("injected")
    release(model)

    with pytest.raises(StepFailed, match="injected"):
        await text_of(failing)
    assert await text_of(joining) == expected("b", 3, 10)


async def test_a_step_that_fails_passes_over_a_job_that_left_while_it_was_in_the_air(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model, "fcfs-mixed")
    leaving, staying = submit(engine, "a"), submit(engine, "b")
    release(model, 2)
    await until(lambda: in_air(model) == [[1, 2], [1, 2]])
    leaving.close()
    release(model, 1)
    await until(lambda: leaving.job not in model.opened)
    model.fail_next = RuntimeError("injected")
    release(model)

    with pytest.raises(StepFailed, match="injected"):
        await text_of(staying)


async def test_a_launch_that_fails_lets_the_flight_before_land_first(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model)
    failing = submit(engine, "a")
    await until(lambda: in_air(model) == [[1], [1]])

    model.fail_launch = RuntimeError("injected")
    release(model)

    await failing.accepted()
    stream = failing.pieces()
    said = [(await anext(stream)).text for _ in range(2)]
    with pytest.raises(StepFailed, match="injected"):
        await anext(stream)
    assert "".join(said) == expected("a", 3, 2)
    assert await text_of(submit(engine, "a")) == expected("a", 3, 10)


async def test_an_adapter_that_cannot_be_mixed_is_told_after_its_last_job_has_ended(
    start: Start, model: AheadExecutor
) -> None:
    model.finish_after = 4
    engine = await start(model, "fcfs-mixed")
    ticket = submit(engine, "a")
    await until(lambda: in_air(model) == [[1], [1]])

    model.unmixable = {"a"}  # seen by the third launch; the second says the end
    release(model)

    assert await text_of(ticket) == expected("a", 3, 1)
    with pytest.raises(UnknownAdapter, match="could not be mixed"):
        await text_of(submit(engine, "a"))


async def test_logits_that_are_no_numbers_fail_a_job_that_is_in_the_air_again(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model, "fcfs-mixed")
    tickets = [submit(engine, "a"), submit(engine, "b")]
    await until(lambda: len(in_air(model)) == 2)
    release(model, 2)
    model.spoilt = {"a"}
    release(model)

    with pytest.raises(StepFailed, match="not finite"):
        await text_of(tickets[0])
    assert await text_of(tickets[1]) == expected("b", 3, 10)


class Bug:
    """A policy that is wrong about `b`."""

    def choose(self, view: View) -> Plan:
        assert "b" not in view.loads, "injected"
        return mixed("fine so far")


async def test_a_bug_leaves_nothing_in_the_air_and_tells_before_it_waits(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model, chooser=Bug())
    beside = submit(engine, "a")
    await until(lambda: in_air(model) == [[1], [1]])
    buggy = submit(engine, "b")
    release(model, 1)
    async with asyncio.timeout(5):
        for ticket in (beside, buggy):
            with pytest.raises(InternalError, match="injected"):
                await text_of(ticket)

    assert in_air(model) == [[1]]
    release(model)
    assert await text_of(submit(engine, "a")) == expected("a", 3, 10)
    assert in_air(model) == []


async def test_no_second_of_the_machine_is_counted_twice(start: Start) -> None:
    now = 0.0

    class Timed(AheadExecutor):
        def launch(self, rows: Sequence[Row], *, mixed: bool) -> FakeFlight:
            nonlocal now
            now += 1.0
            return super().launch(rows, mixed=mixed)

        def land(self, flight: FakeFlight) -> list[Sample | None]:
            nonlocal now
            now += 5.0
            return super().land(flight)

    engine = await start(Timed(), clock=lambda: now)
    await text_of(submit(engine, "a", tokens=4))
    await until(lambda: engine.status.counters.finished == 1)

    assert engine.status.counters.step_seconds == now == 24.0
