"""What a client gets: each token of its own adapter, as its job joins and leaves."""

import asyncio
import random
import threading

import pytest

from hotswap.adapters.origin import Origin
from hotswap.engine.messages import Adopt
from scheduler import POLICIES
from tests.engines import NAMES, Start, submit, text_of
from tests.fakes import FakeExecutor, LoudTokenizer, expected, generation


@pytest.mark.parametrize("policy", list(POLICIES))
async def test_every_text_comes_from_its_own_adapter(
    policy: str, start: Start, model: FakeExecutor
) -> None:
    rng = random.Random(0)
    engine = await start(model, policy)
    asks = [
        (
            rng.choice(["base", *NAMES]),
            rng.randrange(1, 30),
            rng.randrange(1, 20),
        )
        for _ in range(60)
    ]

    texts = await asyncio.gather(*(text_of(submit(engine, *a)) for a in asks))

    assert list(texts) == [expected(*ask) for ask in asks]


async def test_jobs_join_and_leave_between_steps(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, "fcfs-mixed")
    model.gate = threading.Semaphore(1)
    long = submit(engine, "a", tokens=40)
    await long.accepted()
    stream = long.pieces()
    first = await anext(stream)

    joining = submit(engine, "b", tokens=5)  # before the second step ends
    model.gate.release(100)
    short = await text_of(joining)
    rest = "".join([piece.text async for piece in stream])

    assert short == expected("b", 3, 5)
    assert first.text + rest == expected("a", 3, 40)
    assert [1, 2] in model.batches
    assert model.batches[0] == model.batches[-1] == [1]


async def test_a_long_prompt_is_prefilled_beside_decoding_jobs(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model, "fcfs-mixed")
    model.gate = threading.Semaphore(1)
    decoding = submit(engine, "a", tokens=30)
    await decoding.accepted()
    stream = decoding.pieces()
    await anext(stream)

    joining = submit(engine, "b", prompt=80, tokens=2)
    model.gate.release(100)
    text = await text_of(joining)

    decoding.close()
    together = sum(batch == [1, 2] for batch in model.batches)
    assert text == expected("b", 80, 2)
    assert together >= 10, "80 tokens in chunks of 8, each beside the other job"


async def test_a_closed_ticket_frees_its_job_within_one_step(
    start: Start, model: FakeExecutor
) -> None:
    model.gate = threading.Semaphore(0)
    engine = await start(model)
    leaving, staying = submit(engine, "a"), submit(engine, "a")
    model.gate.release()
    await leaving.accepted()
    await staying.accepted()
    await anext(leaving.pieces())

    leaving.close()
    model.gate.release(5)
    stream = staying.pieces()
    for _ in range(4):
        await anext(stream)

    # The second step was under way when it left, and one launched ahead behind it.
    later = model.batches[2 + model.launches_ahead :]
    assert later
    assert not any(leaving.job in batch for batch in later)
    assert engine.status.counters.cancelled == 1
    assert leaving.job not in model.opened
    staying.close()


async def test_the_end_token_ends_a_text_unless_it_is_to_be_ignored(
    start: Start, model: FakeExecutor
) -> None:
    model.finish_after = 7
    engine = await start(model)
    ended = await text_of(submit(engine, "a"))
    ignored = await text_of(submit(engine, "a", ignore_eos=True))

    assert ended == ignored == expected("a", 3, 4)


async def test_stop_strings_and_stop_tokens_end_a_text(
    start: Start, model: FakeExecutor
) -> None:
    engine = await start(model)
    by_text = await text_of(submit(engine, "a", stop=("a7",)))
    digit_seven = 2 + 26 + 7
    by_token = await text_of(submit(engine, "a", stop_tokens=frozenset({digit_seven})))

    assert by_text == "3a5"
    assert by_token == "3a5a"


async def test_a_generation_speaks_and_ends_in_its_own_tokenizer(
    start: Start, model: FakeExecutor
) -> None:
    loud = LoudTokenizer()
    engine = await start(model)
    engine.post(Adopt("e", generation("e", loud), Origin(src="e")))
    ended, ignoring, beside, bare = await asyncio.gather(
        text_of(submit(engine, "e", tokenizer=loud)),
        text_of(submit(engine, "e", tokenizer=loud, ignore_eos=True)),
        text_of(submit(engine, "a")),
        text_of(submit(engine, "base")),
    )

    whole = expected("e", 3, 10).upper()
    assert (ended, ignoring) == (whole[: whole.index("9")], whole)
    assert (beside, bare) == (expected("a", 3, 10), expected("base", 3, 10))
