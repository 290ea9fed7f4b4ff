"""What a prompt begins with is computed once, and a text never tells.

The fake executors fail a step that attends to KV which is not its job's own.
"""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from hotswap.adapters.origin import Origin
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Retire
from hotswap.engine.ticket import Ticket
from scheduler import POLICIES
from tests.engines import Start, leased, submit, text_of, until
from tests.fakes import LETTERS, AheadExecutor, FakeExecutor, expected, generation

SIZE = 4  # tokens of a block
PROMPT = (1, 2, 3, 4, 5) * 4
WHOLE = 19  # tokens of its blocks, but for the last token
SHARED = 16  # of those that somebody else may hold, too


@pytest.fixture(params=[FakeExecutor, AheadExecutor])
def model(request: pytest.FixtureRequest) -> FakeExecutor:
    made: FakeExecutor = request.param(block_tokens=SIZE)
    return made


async def told(ticket: Ticket) -> tuple[str, int]:
    """The answer, and how many tokens of its prompt were found."""
    await ticket.accepted()
    pieces = [piece async for piece in ticket.pieces()]
    (cached,) = {piece.cached_tokens for piece in pieces}
    return "".join(piece.text for piece in pieces), cached


async def ask(
    engine: Engine,
    adapter: str,
    prompt: Sequence[int] = PROMPT,
    tokens: int = 3,
    salt: str | None = None,
) -> int:
    """Tokens of the prompt that were found. The text is right."""
    text, cached = await told(
        submit(engine, adapter, prompt, tokens, cache_salt=salt),
    )
    assert text == expected(adapter or "base", len(prompt), tokens)
    return cached


async def test_of_a_prompt_that_comes_again_no_more_than_a_block_is_computed(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    assert await ask(engine, "a") == 0
    before = model.blocks.computed

    assert await ask(engine, "a", tokens=1) == WHOLE
    assert model.blocks.computed - before == len(PROMPT) - WHOLE <= SIZE


@pytest.mark.parametrize("length", [4, 5, 7, 8, 9, 15, 16, 17, 24, 25])
async def test_wherever_blocks_and_chunks_end_its_last_token_is_computed(
    start: Start, model: FakeExecutor, length: int
) -> None:
    engine = await start(model)
    prompt = range(1, length + 1)  # in chunks of 8
    found = [await ask(engine, "a", prompt) for _ in range(2)]

    whole = length // SIZE * SIZE
    assert found == [0, min(whole, length - 1)]


async def test_a_conversation_that_goes_on_computes_what_is_new(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    conversation = list(PROMPT)
    for _ in range(4):
        ticket = submit(engine, "a", conversation, 7)
        await ticket.accepted()
        said = [piece.token async for piece in ticket.pieces()]
        known = len(conversation) + len(said) - 1  # its last token was not computed
        conversation += [token for token in said if token is not None]
        conversation += [2, 2, 1]

        before = model.blocks.computed
        found = await ask(engine, "a", conversation, tokens=1)
        # A job that ends by its length leaves before its last token has landed.
        lost = SIZE if model.launches_ahead else 0
        assert known // SIZE * SIZE - found in (0, lost)
        assert model.blocks.computed - before == len(conversation) - found


async def test_equal_prompts_of_other_adapters_and_of_the_base_find_nothing(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)

    first = [await ask(engine, name) for name in ("a", "b", "base", "c")]
    again = [await ask(engine, name) for name in ("c", "base", "b", "a")]

    assert (first, again) == ([0] * 4, [WHOLE] * 4)


async def test_a_prompt_is_found_by_those_who_know_its_salt(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    salts = [None, "mine", "yours", None, "mine", "yours"]

    found = [await ask(engine, "a", salt=salt) for salt in salts]

    assert found == [0] * 3 + [WHOLE] * 3


async def test_two_names_of_one_generation_find_what_the_other_has_computed(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    engine.post(Adopt("alias", generation("a"), Origin(src="a")))

    assert await ask(engine, "a") == 0
    text, found = await told(submit(engine, "alias", PROMPT))
    assert (text, found) == (expected("a", len(PROMPT), 10), WHOLE)


async def test_files_that_are_replaced_leave_nothing_to_be_found(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    await ask(engine, "a")
    engine.post(Adopt("a", generation("z"), Origin(src="a")))

    text, found = await told(submit(engine, "a", PROMPT))
    assert (text, found) == (expected("z", len(PROMPT), 10), 0)


async def test_a_generation_takes_its_blocks_with_it_when_its_last_job_has_ended(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(100)
    engine = await start(model)
    await ask(engine, "a")
    while model.gate.acquire(blocking=False):
        pass
    streaming = submit(engine, "a", PROMPT)
    await until(lambda: leased(engine) == ["a"])
    engine.post(Retire("a"))
    model.gate.release(1000)
    assert await told(streaming) == (expected("a", len(PROMPT), 10), WHOLE)

    engine.post(Adopt("a", generation("a"), Origin(src="a")))
    assert await ask(engine, "a") == 0


async def test_what_was_used_least_recently_goes_when_its_room_is_needed(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, kv_tokens=72)
    prompts = [[n] * 20 for n in range(4)]  # room for three
    found = [await ask(engine, "a", prompts[n]) for n in (0, 1, 2, 0, 3, 0, 1)]

    assert found[:-1] == [0, 0, 0, WHOLE, 0, WHOLE]
    assert found[-1] < WHOLE, "the end of a prompt goes first"


async def test_copies_share_their_prompt_once_it_is_computed(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model, "fcfs-mixed")
    first = submit(engine, "a", PROMPT)
    model.gate.release(4)
    await until(lambda: len(model.batches) == 4)
    copies = [submit(engine, "a", PROMPT, seed=n) for n in range(3)]
    model.gate.release(1000)

    answers = await asyncio.gather(*map(told, [first, *copies]))
    text = expected("a", len(PROMPT), 10)
    assert answers == [(text, 0)] + [(text, SHARED)] * 3


async def test_a_prompt_that_is_scored_is_computed_whole_and_serves_others(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    for _ in range(2):
        # Of one who leaves before its prompt has landed nothing would be kept.
        ticket = submit(engine, "a", PROMPT, 3, prompt_logprobs=0)
        await ticket.accepted()
        piece, *_ = [piece async for piece in ticket.pieces()]
        assert [scored.token for scored in piece.prompt] == [*PROMPT[1:]]
        assert piece.cached_tokens == 0

    assert await ask(engine, "a") == WHOLE


@pytest.mark.parametrize("shares", [True, False])
async def test_without_the_cache_nothing_is_looked_up(
    start: Start, model: FakeExecutor, shares: bool
) -> None:
    model.shares_blocks = shares
    engine = await start(model, prefix_cache=not shares)
    found = [await ask(engine, "a") for _ in range(2)]

    counters = engine.status.counters
    assert (found, counters.prefix_cache_queries) == ([0, 0], 0)
    assert engine.has_prefix_cache is False


async def test_the_counters_tell_what_was_looked_up_and_found(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    for _ in range(3):
        await ask(engine, "a")
    await asyncio.wrap_future(engine.sync())

    counters = engine.status.counters
    assert counters.prefix_cache_queries == 3 * len(PROMPT)
    assert counters.prefix_cache_hits == 2 * WHOLE


@pytest.mark.parametrize("policy", sorted(POLICIES))
async def test_many_at_once_are_answered_rightly_whoever_is_seated(
    start: Start, model: FakeExecutor, policy: str
) -> None:
    engine = await start(model, policy, kv_tokens=80)
    names = [LETTERS[n % 4] for n in range(24)]
    prompts = [PROMPT[: 5 + n % 3 * 7] for n in range(24)]

    tickets = [submit(engine, *each, 6) for each in zip(names, prompts, strict=True)]

    assert await asyncio.gather(*map(text_of, tickets)) == [
        expected(name, len(prompt), 6)
        for name, prompt in zip(names, prompts, strict=True)
    ]
