"""An adapter is replaced or retired while its jobs run."""

import threading

import pytest

from hotswap.adapters.origin import Origin
from hotswap.engine.messages import Adopt, Retire
from hotswap.errors import UnknownAdapter
from tests.engines import Start, rest_of, submit, text_of
from tests.fakes import FakeExecutor, expected, generation


async def test_a_replaced_adapter_finishes_old_jobs_and_serves_new_ones_anew(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model, "fcfs-mixed")
    old = submit(engine, "a")
    await old.accepted()
    engine.post(Adopt("a", generation("z"), Origin(src="a")))
    new = submit(engine, "a")
    model.gate.release(100)

    texts = [await text_of(new)]
    texts.append(await rest_of(old))

    assert texts == [expected("z", 3, 10), expected("a", 3, 10)]
    assert (old.generation, new.generation) == ("a", "z")
    assert "a" in model.forgotten, "nobody leases the old generation any more"
    assert "z" not in model.forgotten


async def test_a_retired_adapter_finishes_its_jobs_and_takes_no_new_ones(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model)
    old = submit(engine, "a")
    await old.accepted()
    engine.post(Retire("a"))
    model.gate.release(100)
    with pytest.raises(UnknownAdapter):
        await text_of(submit(engine, "a"))

    text = await rest_of(old)

    assert text == expected("a", 3, 10)
