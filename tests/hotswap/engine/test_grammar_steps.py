"""A step whose token decides what may come next is landed before another launches."""

import numpy as np
import pytest

from tests.engines import Start, submit, text_of
from tests.fakes import AheadExecutor, expected


class Anything:
    """A grammar that the fake model does not ask."""

    def matcher(self) -> "Anything":
        return self

    def fill(self, mask: np.ndarray) -> None:
        mask[:] = -1

    def accept(self, token: int) -> bool:
        return True


class Watching(AheadExecutor):
    """Counts the launches that found a step with a sample in the air."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0

    def launch(self, rows, *, mixed):  # type: ignore[no-untyped-def]
        self.ahead += any(flight.jobs for flight in self.in_air)
        return super().launch(rows, mixed=mixed)


@pytest.fixture
def model() -> Watching:
    return Watching()


async def test_no_step_is_launched_ahead_of_a_row_with_a_grammar(
    start: Start, model: Watching
) -> None:
    engine = await start(model)

    assert await text_of(submit(engine, "a", grammar=Anything())) == expected(
        "a", 3, 10
    )
    assert model.ahead == 0
    assert await text_of(submit(engine, "a")) == expected("a", 3, 10)
    assert model.ahead > 0


async def test_a_chunk_of_a_prompt_is_no_reason_to_wait(
    start: Start, model: Watching
) -> None:
    engine = await start(model)

    await text_of(submit(engine, "a", prompt=40, tokens=1, grammar=Anything()))
    assert model.ahead > 0
