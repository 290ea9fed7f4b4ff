"""What a step that failed was to compute is found by nobody, though it was counted on.

Where steps are launched ahead, a failure is told after the next step was decided.
"""

import threading

import pytest

from hotswap.errors import StepFailed
from tests.engines import Start, submit, text_of, until
from tests.fakes import AheadExecutor, expected

SIZE = 4  # tokens of a block
PROMPT = (1, 2, 3, 4, 5) * 4  # in chunks of 8, 8 and 4


@pytest.fixture
def model() -> AheadExecutor:
    """Each release of its gate lets one step land."""
    model = AheadExecutor(block_tokens=SIZE)
    model.gate = threading.Semaphore(0)
    return model


def release(model: AheadExecutor, steps: int = 1000) -> None:
    assert model.gate is not None
    model.gate.release(steps)


async def test_a_job_that_left_at_its_launch_leaves_nothing_that_failed(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model)
    failing = submit(engine, "a", PROMPT, 1)
    release(model, 2)
    await until(lambda: len(model.batches) == 2)
    model.fail_next = RuntimeError("injected")
    release(model)

    with pytest.raises(StepFailed, match="injected"):
        await text_of(failing)
    longer = (*PROMPT, 1)
    assert await text_of(submit(engine, "a", longer)) == expected("a", 21, 10)


async def test_a_job_that_joins_while_a_step_is_in_the_air_does_not_rely_on_it(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model, "fcfs-mixed")
    failing = submit(engine, "a", PROMPT)
    release(model, 1)
    await until(lambda: len(model.batches) == 1 and len(model.in_air) == 2)
    joining = submit(engine, "a", (*PROMPT, 1))
    release(model, 1)
    await until(lambda: len(model.batches) == 2 and len(model.in_air) == 2)
    model.fail_next = RuntimeError("injected")
    release(model)

    with pytest.raises(StepFailed, match="injected"):
        await text_of(failing)
    assert await text_of(joining) == expected("a", 21, 10)


async def test_a_known_block_is_known_no_more_when_the_step_that_wrote_to_it_failed(
    start: Start, model: AheadExecutor
) -> None:
    engine = await start(model)
    release(model)

    async def found() -> int:
        ticket = submit(engine, "a", PROMPT)
        await ticket.accepted()
        pieces = [piece async for piece in ticket.pieces()]
        assert "".join(piece.text for piece in pieces) == expected("a", 20, 10)
        return pieces[0].cached_tokens

    assert await found() == 0
    model.fail_next = RuntimeError("injected")
    with pytest.raises(StepFailed, match="injected"):
        await found()  # it computes the last token of its last block alone

    assert [await found() for _ in range(2)] == [0, 19]
