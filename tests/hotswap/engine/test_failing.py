"""A fault stays where it happened: in its step, its job or its adapter."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from hotswap.adapters.origin import Origin
from hotswap.engine.messages import Adopt
from hotswap.errors import (
    DeviceFull,
    MergeFailed,
    MixFailed,
    StepFailed,
    UnknownAdapter,
)
from tests.engines import Start, leased, submit, text_of
from tests.fakes import FakeExecutor, LoudTokenizer, Panic, expected, generation


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, Panic])
async def test_whatever_a_step_raises_fails_its_own_jobs_alone(
    error: type[BaseException], start: Start, model: FakeExecutor
) -> None:
    model.fail_next = error("injected")
    engine = await start(model)
    with pytest.raises(StepFailed, match="injected"):
        await text_of(submit(engine, "a"))

    assert await text_of(submit(engine, "a")) == expected("a", 3, 10)


async def test_a_device_without_memory_fails_the_step_and_has_smaller_ones_from_then(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    model.fail_next = DeviceFull("injected")
    with pytest.raises(DeviceFull, match="injected"):
        await text_of(submit(engine, "a", prompt=8))

    assert await text_of(submit(engine, "a", prompt=8)) == expected("a", 8, 10)
    counters = engine.status.counters
    behind = model.launches_ahead  # one was launched behind the step that failed
    # The prompt in two chunks, of which the second gives the first token
    assert counters.merged_steps + counters.mixed_steps == 2 + 9 + behind


async def test_logits_that_are_no_numbers_fail_their_own_job_and_none_beside_it(
    start: Start, model: FakeExecutor
) -> None:
    model.spoilt = {"b"}
    engine = await start(model, "fcfs-mixed")
    model.gate = threading.Semaphore(0)
    tickets = [submit(engine, name) for name in ("a", "b", "base")]
    model.gate.release(100)
    with pytest.raises(StepFailed, match="not finite"):
        await text_of(tickets[1])

    assert await text_of(tickets[0]) == expected("a", 3, 10)
    assert await text_of(tickets[2]) == expected("base", 3, 10)
    assert engine.status.counters.failed == 1
    assert leased(engine) == []


async def test_a_tokenizer_that_raises_fails_its_own_job_and_none_beside_it(
    start: Start, model: FakeExecutor
) -> None:
    class Broken(LoudTokenizer):
        def decode(self, ids: Sequence[int], *, skips_special: bool = True) -> str:
            raise KeyError("injected")

    broken = Broken()
    engine = await start(model, "fcfs-mixed")
    engine.post(Adopt("e", generation("e", broken), Origin(src="e")))
    model.gate = threading.Semaphore(0)
    tickets = [submit(engine, "a"), submit(engine, "e", tokenizer=broken)]
    model.gate.release(100)
    with pytest.raises(StepFailed, match="injected"):
        await text_of(tickets[1])

    assert await text_of(tickets[0]) == expected("a", 3, 10)
    assert leased(engine) == []


async def test_a_failing_merge_fails_that_adapter_and_no_other(
    start: Start, model: FakeExecutor
) -> None:
    model.weights.broken = {"a"}
    engine = await start(model, "fcfs-merged")
    with pytest.raises(MergeFailed, match="injected"):
        await text_of(submit(engine, "a"))
    with pytest.raises(UnknownAdapter, match="could not be merged"):
        await text_of(submit(engine, "a"))

    assert await text_of(submit(engine, "b")) == expected("b", 3, 10)
    assert await text_of(submit(engine, "base")) == expected("base", 3, 10)


async def test_a_bare_model_that_cannot_be_built_again_fails_the_step_alone(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, "fcfs-merged")
    assert await text_of(submit(engine, "a")) == expected("a", 3, 10)
    model.weights.broken = {"base"}
    async with asyncio.timeout(10):
        with pytest.raises(StepFailed, match="injected"):
            await text_of(submit(engine, "base"))

    model.weights.broken = set()
    assert await text_of(submit(engine, "base")) == expected("base", 3, 10)


async def test_an_adapter_that_cannot_be_mixed_fails_alone(
    start: Start, model: FakeExecutor
) -> None:
    model.unmixable = {"b"}
    model.gate = threading.Semaphore(0)
    engine = await start(model, "fcfs-mixed")
    tickets = [submit(engine, name) for name in ("a", "b", "base")]
    model.gate.release(100)
    with pytest.raises(MixFailed, match="injected"):
        await text_of(tickets[1])

    assert await text_of(tickets[0]) == expected("a", 3, 10)
    assert await text_of(tickets[2]) == expected("base", 3, 10)
    with pytest.raises(UnknownAdapter, match="could not be mixed"):
        await text_of(submit(engine, "b"))
