"""Scores of prompts through the engine: whose, in chunks, and of nothing else."""

import pytest

from hotswap.engine.ticket import Piece
from tests.engines import Start, submit
from tests.fakes import LETTERS, AheadExecutor, FakeExecutor

Kind = type[FakeExecutor]


async def pieces(ticket: object) -> list[Piece]:
    await ticket.accepted()  # type: ignore[attr-defined]
    return [piece async for piece in ticket.pieces()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [FakeExecutor, AheadExecutor])
@pytest.mark.parametrize("prompt", [1, 2, 8, 9, 30])
async def test_they_come_with_the_first_piece_from_the_adapters_own_weights(
    start: Start, kind: Kind, prompt: int
) -> None:
    engine = await start(kind())
    scored = submit(engine, "b", prompt, 3, prompt_logprobs=2)
    plain = submit(engine, "b", prompt, 3)

    first, *rest = await pieces(scored)
    others = await pieces(plain)

    assert [-each.logprob for each in first.prompt] == list(range(1, prompt))
    assert {each.rank for each in first.prompt} <= {1 + LETTERS.index("b")}
    assert all(len(each.top) == 2 for each in first.prompt)
    assert not any(piece.prompt for piece in [*rest, *others])


@pytest.mark.parametrize("kind", [FakeExecutor, AheadExecutor])
async def test_a_prompt_that_is_only_scored_ends_without_a_token(
    start: Start, kind: Kind
) -> None:
    engine = await start(kind())

    (only,) = await pieces(submit(engine, "a", 20, 0, prompt_logprobs=0))

    assert (only.token, only.text, only.finish) == (None, "", "length")
    assert len(only.prompt) == 19


async def test_a_prompt_that_fills_the_context_can_be_scored(start: Start) -> None:
    engine = await start(FakeExecutor())

    (only,) = await pieces(submit(engine, "a", 500, 0, prompt_logprobs=0))

    assert len(only.prompt) == 499


async def test_a_stop_is_told_and_kept_where_it_is_asked_for(start: Start) -> None:
    engine = await start(FakeExecutor())
    kept = submit(engine, "a", 3, 10, stop=("5a",), includes_stop=True)
    cut = submit(engine, "a", 3, 10, stop=("5a",))
    plain = submit(engine, "a", 3, 4)

    found = [await pieces(each) for each in (kept, cut, plain)]

    texts = ["".join(piece.text for piece in each) for each in found]
    assert texts == ["3a5a", "3a", "3a5a"]
    assert [each[-1].stop_reason for each in found] == ["5a", "5a", None]
