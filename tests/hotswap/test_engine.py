"""The engine on a fake model whose text tells which weights computed each token."""

import asyncio
import dataclasses
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import torch

from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.batch import Batch
from hotswap.engine.engine import Engine
from hotswap.engine.letters import Adopt, Letter, Refuse, Retire, Stop, Submit
from hotswap.engine.outbox import Outbox
from hotswap.engine.reception import Reception
from hotswap.engine.sampling import SamplingParams
from hotswap.engine.status import Counters
from hotswap.engine.ticket import Ticket
from hotswap.errors import (
    HotswapError,
    InternalError,
    MergeFailed,
    MixFailed,
    OtherTokenizer,
    Overloaded,
    PromptTooLong,
    StepFailed,
    StillLoading,
    Stopping,
    UnknownAdapter,
)
from hotswap.model.rows import Row
from scheduler import POLICIES, Scheduler, SchedulerLimits
from scheduler.policy import Plan, Policy, View, merged, mixed
from tests.fakes import (
    EOS,
    PROMPT_TOKEN,
    FakeModel,
    FakeTokenizer,
    LoudTokenizer,
    expected,
    generation,
)
from tests.scheduler.traces import scheduler

NAMES = ["a", "b", "c", "d"]


@asynccontextmanager
async def running(
    model: FakeModel,
    policy: str = "affinity",
    *,
    kv_tokens: int = 1000,
    max_batch: int = 4,
    max_waiting: int = 1000,
    chooser: Policy | None = None,
    store: Store | None = None,
    fetch: Callable[[str], None] = lambda name: None,
) -> AsyncIterator[Engine]:
    scheduler = Scheduler(
        chooser or POLICIES[policy](),
        SchedulerLimits(
            kv_tokens=kv_tokens,
            max_batch=max_batch,
            max_waiting=max_waiting,
            prefill_tokens=8,
            patience_s=0.025,
        ),
    )
    engine = Engine(
        model,
        scheduler,
        store or Store(),
        FakeTokenizer(),
        eos=frozenset({EOS}),
        context=500,
        fetch=fetch,
    )
    for name in NAMES:
        engine.post(Adopt(name, generation(name), Origin(src=name)))
    engine.start()
    try:
        yield engine
    finally:
        if model.gate is not None:
            model.gate.release(10_000)
        await asyncio.to_thread(engine.stop, 10)
        assert not model.spans, "KV was not given back"
        scheduler.check()


def submit(
    engine: Engine, adapter: str, prompt: int = 3, tokens: int = 10, **letter: object
) -> Ticket:
    ticket = engine.open_ticket()
    engine.post(
        Submit(
            ticket=ticket,
            adapter=adapter,
            prompt=(PROMPT_TOKEN,) * prompt,
            max_tokens=tokens,
            sampling=SamplingParams(temperature=0),
            **letter,  # type: ignore[arg-type]
        )
    )
    return ticket


async def text_of(ticket: Ticket) -> str:
    try:
        await ticket.accepted()
        return "".join([piece.text async for piece in ticket.pieces()])
    finally:
        ticket.close()


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_text_comes_from_its_own_adapter(policy: str) -> None:
    async def scene() -> None:
        rng = random.Random(0)
        async with running(FakeModel(), policy) as engine:
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

    asyncio.run(scene())


def test_jobs_join_and_leave_between_steps() -> None:
    async def scene() -> None:
        model = FakeModel()
        async with running(model, "fcfs-mixed") as engine:
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

    asyncio.run(scene())


def test_a_long_prompt_is_prefilled_beside_decoding_jobs() -> None:
    async def scene() -> None:
        model = FakeModel()
        async with running(model, "fcfs-mixed") as engine:
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

    asyncio.run(scene())


def test_a_closed_ticket_frees_its_job_within_one_step() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model) as engine:
            leaving, staying = submit(engine, "a"), submit(engine, "a")
            model.gate.release()
            await leaving.accepted()
            await staying.accepted()
            await anext(leaving.pieces())

            leaving.close()
            model.gate.release(5)
            stream = staying.pieces()
            for _ in range(3):
                await anext(stream)

            # The second step was under way when it left.
            assert not any(leaving.job in batch for batch in model.batches[2:])
            assert engine.status.counters.cancelled == 1
            assert leaving.job not in model.spans
            staying.close()

    asyncio.run(scene())


def test_a_failing_step_fails_its_own_jobs_and_the_server_goes_on() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.fail_next = True
        async with running(model) as engine:
            with pytest.raises(StepFailed, match="injected"):
                await text_of(submit(engine, "a"))

            assert await text_of(submit(engine, "a")) == expected("a", 3, 10)

    asyncio.run(scene())


def test_logits_that_are_no_numbers_fail_their_own_job_and_none_beside_it() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.spoilt = {"b"}
        async with running(model, "fcfs-mixed") as engine:
            model.gate = threading.Semaphore(0)
            tickets = [submit(engine, name) for name in ("a", "b", "base")]
            model.gate.release(100)
            with pytest.raises(StepFailed, match="not finite"):
                await text_of(tickets[1])

            assert await text_of(tickets[0]) == expected("a", 3, 10)
            assert await text_of(tickets[2]) == expected("base", 3, 10)
            assert engine.status.counters.failed == 1
            assert [x.name for x in engine.status.adapters if x.leases] == []

    asyncio.run(scene())


def test_a_tokenizer_that_raises_fails_its_own_job_and_none_beside_it() -> None:
    class Broken(LoudTokenizer):
        def decode(self, ids: Sequence[int]) -> str:
            raise KeyError("injected")

    async def scene() -> None:
        model, broken = FakeModel(), Broken()
        async with running(model, "fcfs-mixed") as engine:
            spoken = dataclasses.replace(generation("e"), tokenizer=broken)
            engine.post(Adopt("e", spoken, Origin(src="e")))
            model.gate = threading.Semaphore(0)
            tickets = [submit(engine, "a"), submit(engine, "e", tokenizer=broken)]
            model.gate.release(100)
            with pytest.raises(StepFailed, match="injected"):
                await text_of(tickets[1])

            assert await text_of(tickets[0]) == expected("a", 3, 10)
            assert [x.name for x in engine.status.adapters if x.leases] == []

    asyncio.run(scene())


def test_a_failing_merge_fails_that_adapter_and_no_other() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.weights.broken = {"a"}
        async with running(model, "fcfs-merged") as engine:
            with pytest.raises(MergeFailed, match="injected"):
                await text_of(submit(engine, "a"))
            with pytest.raises(UnknownAdapter, match="could not be merged"):
                await text_of(submit(engine, "a"))

            assert await text_of(submit(engine, "b")) == expected("b", 3, 10)
            assert await text_of(submit(engine, "base")) == expected("base", 3, 10)

    asyncio.run(scene())


def test_a_bare_model_that_cannot_be_built_again_fails_the_step_alone() -> None:
    async def scene() -> None:
        model = FakeModel()
        async with running(model, "fcfs-merged") as engine:
            assert await text_of(submit(engine, "a")) == expected("a", 3, 10)
            model.weights.broken = {"base"}
            async with asyncio.timeout(10):
                with pytest.raises(StepFailed, match="injected"):
                    await text_of(submit(engine, "base"))

            model.weights.broken = set()
            assert await text_of(submit(engine, "base")) == expected("base", 3, 10)

    asyncio.run(scene())


def test_an_unknown_adapter_is_refused_and_never_answered_by_the_base() -> None:
    async def scene() -> None:
        model = FakeModel()
        async with running(model) as engine:
            with pytest.raises(UnknownAdapter, match="`nope` is not registered"):
                await text_of(submit(engine, "nope"))

        assert model.batches == []

    asyncio.run(scene())


def test_a_replaced_adapter_finishes_old_jobs_and_serves_new_ones_anew() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model, "fcfs-mixed") as engine:
            old = submit(engine, "a")
            await old.accepted()
            engine.post(Adopt("a", generation("z"), Origin(src="a")))
            new = submit(engine, "a")
            model.gate.release(100)

            texts = [await text_of(new)]
            texts.append("".join([piece.text async for piece in old.pieces()]))

            assert texts == [expected("z", 3, 10), expected("a", 3, 10)]
            assert (old.generation, new.generation) == ("a", "z")
        assert "a" in model.forgotten, "nobody leases the old generation any more"
        assert "z" not in model.forgotten

    asyncio.run(scene())


def test_a_retired_adapter_finishes_its_jobs_and_takes_no_new_ones() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model) as engine:
            old = submit(engine, "a")
            await old.accepted()
            engine.post(Retire("a"))
            model.gate.release(100)
            with pytest.raises(UnknownAdapter):
                await text_of(submit(engine, "a"))

            text = "".join([piece.text async for piece in old.pieces()])

            assert text == expected("a", 3, 10)

    asyncio.run(scene())


def test_a_full_queue_refuses_and_loses_nothing() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model, kv_tokens=20, max_waiting=2) as engine:
            tickets = [submit(engine, "a") for _ in range(6)]
            results: list[str | HotswapError] = []
            model.gate.release(1000)
            for ticket in tickets:
                try:
                    results.append(await text_of(ticket))
                except Overloaded as error:
                    results.append(error)

        answered = [r for r in results if isinstance(r, str)]
        assert len(answered) >= 2
        assert set(answered) == {expected("a", 3, 10)}
        refused = [r for r in results if isinstance(r, Overloaded)]
        assert len(answered) + len(refused) == len(results)
        assert all(error.retry_after_s is not None for error in refused)

    asyncio.run(scene())


def test_a_job_larger_than_the_kv_store_is_refused_at_once() -> None:
    async def scene() -> None:
        async with running(FakeModel(), kv_tokens=50) as engine:
            with pytest.raises(PromptTooLong, match="at most 50 fit"):
                await text_of(submit(engine, "a", prompt=45, tokens=10))

    asyncio.run(scene())


def test_stopping_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model) as engine:
            accepted = submit(engine, "a")
            await accepted.accepted()
            engine.drain(10)
            late = submit(engine, "a")
            model.gate.release(100)

            with pytest.raises(Stopping):
                await late.accepted()
            rest = "".join([piece.text async for piece in accepted.pieces()])

            assert rest == expected("a", 3, 10)

    asyncio.run(scene())


def test_what_a_drain_cannot_finish_in_time_is_told_so() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model) as engine:
            accepted = submit(engine, "a")
            await accepted.accepted()
            engine.drain(0)
            model.gate.release(1)  # the step that runs when the letter comes

            with pytest.raises(Stopping):
                _ = [piece async for piece in accepted.pieces()]

            assert model.spans == {}, "its KV is given back"

    asyncio.run(scene())


class PrepareThenMerge:
    """Mixes while a slot for `a` is built, then merges `a` as long as it has jobs."""

    def choose(self, view: View) -> Plan:
        if "a" not in view.loads:
            return mixed("a is done")
        return merged("a", "warm") if "a" in view.warm else mixed("wait", prepare="a")


def test_a_slot_is_built_beside_the_steps_of_others_and_then_used() -> None:
    async def scene() -> None:
        model = FakeModel()
        async with running(model, chooser=PrepareThenMerge()) as engine:
            texts = await asyncio.gather(
                *(text_of(submit(engine, name, tokens=20)) for name in ("a", "b"))
            )
            counters = engine.status.counters

        assert texts == [expected("a", 3, 20), expected("b", 3, 20)]
        assert counters.mixed_steps >= 2
        assert counters.merged_steps > 0
        assert (counters.warm_swaps > 0, counters.cold_swaps) == (True, 0)
        # Each flip and the build take a millisecond.
        flips = counters.warm_swaps
        assert counters.built_ahead == 1
        assert counters.swap_seconds == pytest.approx(0.001 * (flips + 1))

    asyncio.run(scene())


def test_a_slot_that_cannot_be_built_beside_fails_its_adapter_alone() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.weights.broken = {"a"}
        async with running(model, chooser=PrepareThenMerge()) as engine:
            broken, other = (submit(engine, name, tokens=20) for name in ("a", "b"))
            with pytest.raises(MergeFailed, match="injected"):
                await text_of(broken)

            assert await text_of(other) == expected("b", 3, 20)
            with pytest.raises(UnknownAdapter, match="could not be merged"):
                await text_of(submit(engine, "a"))

    asyncio.run(scene())


def test_the_end_token_ends_a_text_unless_it_is_to_be_ignored() -> None:
    async def scene() -> None:
        async with running(FakeModel(finish_after=7)) as engine:
            ended = await text_of(submit(engine, "a"))
            ignored = await text_of(submit(engine, "a", ignore_eos=True))

        assert ended == ignored == expected("a", 3, 4)

    asyncio.run(scene())


def test_stop_strings_and_stop_tokens_end_a_text() -> None:
    async def scene() -> None:
        async with running(FakeModel()) as engine:
            by_text = await text_of(submit(engine, "a", stop=("a7",)))
            digit_seven = 2 + 26 + 7
            by_token = await text_of(
                submit(engine, "a", stop_tokens=frozenset({digit_seven}))
            )

        assert by_text == "3a5"
        assert by_token == "3a5a"

    asyncio.run(scene())


def test_the_status_counts_what_happened() -> None:
    async def scene() -> None:
        async with running(FakeModel()) as engine:
            await text_of(submit(engine, "a", prompt=20))
            counters = engine.status.counters

            assert (counters.accepted, counters.finished) == (1, 1)
            assert (counters.prefill_tokens, counters.generated_tokens) == (20, 10)
            assert engine.status.live == engine.status.waiting == 0

    asyncio.run(scene())


# --- the end ------------------------------------------------------------------------


class Bug:
    """A policy that is wrong about `b`."""

    def choose(self, view: View) -> Plan:
        assert "b" not in view.loads, "injected"
        return mixed("fine so far")


def test_a_bug_in_a_turn_fails_the_jobs_that_are_there_and_the_engine_goes_on() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model, chooser=Bug()) as engine:
            beside = submit(engine, "a")
            await beside.accepted()
            buggy = submit(engine, "b")
            model.gate.release(1)
            await buggy.accepted()
            async with asyncio.timeout(10):
                for ticket in (beside, buggy):
                    with pytest.raises(InternalError, match="injected"):
                        _ = [piece async for piece in ticket.pieces()]

                model.gate.release(100)
                assert await text_of(submit(engine, "a")) == expected("a", 3, 10)
            assert engine.is_alive

    asyncio.run(scene())


class Panic(BaseException):
    """As what Rust's panics become: no Exception."""


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, Panic])
def test_whatever_a_step_raises_fails_its_own_jobs_alone(
    error: type[BaseException],
) -> None:
    async def scene() -> None:
        model = FakeModel()
        real = model.run

        def run(rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
            model.run = real  # type: ignore[method-assign]
            raise error("injected")

        model.run = run  # type: ignore[method-assign]
        async with running(model) as engine:
            with pytest.raises(StepFailed, match="injected"):
                await text_of(submit(engine, "a"))

            assert await text_of(submit(engine, "a")) == expected("a", 3, 10)

    asyncio.run(scene())


@pytest.mark.parametrize("error", [RuntimeError, Panic])
def test_a_letter_that_fails_concerns_nobody_but_its_sender(
    error: type[BaseException],
) -> None:
    class Broken(FakeTokenizer):
        @property
        def eos(self) -> frozenset[int]:
            raise error("injected")

    async def scene() -> None:
        model, broken = FakeModel(), Broken()
        model.gate = threading.Semaphore(0)
        async with running(model) as engine:
            spoken = dataclasses.replace(generation("e"), tokenizer=broken)
            engine.post(Adopt("e", spoken, Origin(src="e")))
            beside = submit(engine, "a")
            await beside.accepted()
            failing = submit(engine, "e", tokenizer=broken)
            model.gate.release(100)
            with pytest.raises(InternalError, match="injected"):
                await failing.accepted()
            text = "".join([piece.text async for piece in beside.pieces()])
            assert text == expected("a", 3, 10)
            assert [x.name for x in engine.status.adapters if x.leases] == []

    asyncio.run(scene())


def test_an_adapter_that_cannot_be_mixed_fails_alone() -> None:
    async def scene() -> None:
        model = FakeModel()
        real = model.run

        def run(rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
            if any(row.generation and row.generation.key == "b" for row in rows):
                raise MixFailed("b", "injected")
            return real(rows, mixed=mixed)

        model.run = run  # type: ignore[method-assign]
        model.gate = threading.Semaphore(0)
        async with running(model, "fcfs-mixed") as engine:
            tickets = [submit(engine, name) for name in ("a", "b", "base")]
            model.gate.release(100)
            with pytest.raises(MixFailed, match="injected"):
                await text_of(tickets[1])

            assert await text_of(tickets[0]) == expected("a", 3, 10)
            assert await text_of(tickets[2]) == expected("base", 3, 10)
            with pytest.raises(UnknownAdapter, match="could not be mixed"):
                await text_of(submit(engine, "b"))

    asyncio.run(scene())


def test_nobody_waits_for_an_engine_that_a_bug_has_ended() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model) as engine:
            running_job, fatal = submit(engine, "a"), submit(engine, "b")
            await running_job.accepted()
            await fatal.accepted()

            def broken() -> None:
                raise AssertionError("injected")

            engine._publish = broken  # type: ignore[method-assign]
            model.gate.release(1)
            async with asyncio.timeout(10):
                for ticket in (running_job, fatal):
                    with pytest.raises((Stopping, InternalError)):
                        _ = [piece async for piece in ticket.pieces()]
                await until(lambda: not engine.is_alive)

                with pytest.raises(Stopping):
                    await text_of(submit(engine, "a"))
                await asyncio.wrap_future(engine.seen())

    asyncio.run(scene())


def test_what_is_posted_behind_the_last_letter_is_answered() -> None:
    async def scene() -> None:
        model = FakeModel()
        async with running(model) as engine:
            engine.drain(10)
            engine.post(Stop())
            async with asyncio.timeout(10):
                for _ in range(3):
                    late, seen = submit(engine, "a"), engine.seen()
                    with pytest.raises(Stopping):
                        await text_of(late)
                    await asyncio.wrap_future(seen)

    asyncio.run(scene())


# --- tokenizers of adapters ---------------------------------------------------------


def test_a_generation_speaks_and_ends_in_its_own_tokenizer() -> None:
    async def scene() -> None:
        loud = LoudTokenizer()
        async with running(FakeModel()) as engine:
            spoken = dataclasses.replace(generation("e"), tokenizer=loud)
            engine.post(Adopt("e", spoken, Origin(src="e")))
            texts = await asyncio.gather(
                text_of(submit(engine, "e", tokenizer=loud)),
                text_of(submit(engine, "e", tokenizer=loud, ignore_eos=True)),
                text_of(submit(engine, "a")),
                text_of(submit(engine, "base")),
            )

        whole = expected("e", 3, 10).upper()
        assert texts[:2] == [whole[: whole.index("9")], whole]
        assert texts[2:] == [expected("a", 3, 10), expected("base", 3, 10)]

    asyncio.run(scene())


def test_a_prompt_encoded_for_another_generation_comes_back_before_it_is_a_job() -> (
    None
):
    async def scene() -> None:
        async with running(FakeModel()) as engine:
            with pytest.raises(OtherTokenizer):
                await text_of(submit(engine, "a", tokenizer=LoudTokenizer()))
            counters = engine.status.counters

            assert (counters.accepted, counters.refused) == (0, 0)
            assert await text_of(submit(engine, "a")) == expected("a", 3, 10)

    asyncio.run(scene())


def test_a_prompt_that_waited_for_a_read_comes_back_if_its_tokenizer_changed() -> None:
    async def scene() -> None:
        async with with_one_on_disk() as (engine, asked):
            ticket = submit(engine, "d")
            await until(lambda: bool(asked))
            spoken = dataclasses.replace(generation("d"), tokenizer=LoudTokenizer())

            engine.post(Adopt("d", spoken, Origin(src="d")))

            with pytest.raises(OtherTokenizer):
                await text_of(ticket)

    asyncio.run(scene())


# --- adapters on disk ---------------------------------------------------------------


@asynccontextmanager
async def with_one_on_disk() -> AsyncIterator[tuple[Engine, list[str]]]:
    """An engine that knows `d` by name alone, and what it asked the library for."""
    asked: list[str] = []
    store = Store(max_loaded=1)
    store.adopt("d", None, Origin(src="d", preload=False))
    async with running(FakeModel(), store=store, fetch=asked.append) as engine:
        engine.post(Retire("d"))  # `running` has adopted it
        engine.post(Adopt("d", None, Origin(src="d", preload=False)))
        yield engine, asked


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_requests_for_an_adapter_on_disk_wait_for_one_read_and_are_served() -> None:
    async def scene() -> None:
        async with with_one_on_disk() as (engine, asked):
            tickets = [submit(engine, "d") for _ in range(3)]
            await until(lambda: bool(asked))
            other = await text_of(submit(engine, "base"))

            engine.post(Adopt("d", generation("d"), Origin(src="d")))
            texts = await asyncio.gather(*map(text_of, tickets))

            assert asked == ["d"]
            assert other == expected("base", 3, 10)
            assert texts == [expected("d", 3, 10)] * 3

    asyncio.run(scene())


@pytest.mark.parametrize("letter", [Refuse("d", "gone", Origin(src="d")), Retire("d")])
def test_requests_for_an_adapter_that_cannot_be_read_are_refused(
    letter: Letter,
) -> None:
    async def scene() -> None:
        async with with_one_on_disk() as (engine, asked):
            ticket = submit(engine, "d")
            await until(lambda: bool(asked))

            engine.post(letter)

            with pytest.raises(UnknownAdapter):
                await text_of(ticket)

    asyncio.run(scene())


def test_an_adapter_that_cannot_be_read_just_now_is_read_when_next_asked_for() -> None:
    async def scene() -> None:
        async with with_one_on_disk() as (engine, asked):
            ticket = submit(engine, "d")
            await until(lambda: bool(asked))
            engine.post(Refuse("d", "no descriptor", Origin(src="d"), is_passing=True))
            with pytest.raises(StillLoading, match="no descriptor"):
                await text_of(ticket)

            ticket = submit(engine, "d")
            await until(lambda: len(asked) == 2)
            engine.post(Adopt("d", generation("d"), Origin(src="d")))
            assert await text_of(ticket) == expected("d", 3, 10)

    asyncio.run(scene())


def test_a_client_that_leaves_while_its_adapter_is_read_leaves_nothing_behind() -> None:
    async def scene() -> None:
        async with with_one_on_disk() as (engine, asked):
            ticket = submit(engine, "d")
            await until(lambda: bool(asked))
            ticket.close()
            engine.post(Adopt("d", generation("d"), Origin(src="d")))
            await text_of(submit(engine, "base"))

            assert engine.status.counters.accepted == 1
            assert [each.leases for each in engine.status.adapters if each.leases] == []

    asyncio.run(scene())


def test_a_deadline_counts_from_the_request_and_not_from_the_read() -> None:
    async def scene() -> None:
        now, store = 0.0, Store()
        store.adopt("d", None, Origin(src="d", preload=False))
        batch = Batch(FakeModel(), store)
        reception = Reception(
            store,
            batch,
            scheduler(),
            Outbox(),
            counters=Counters(),
            tokenizer=FakeTokenizer(),
            eos=frozenset(),
            limit=100,
            fetch=lambda name: None,
            clock=lambda: now,
        )
        ticket = Ticket(1, lambda job: None)
        params = SamplingParams(temperature=0)

        reception.take(
            Submit(
                ticket=ticket,
                adapter="d",
                prompt=(1,),
                max_tokens=1,
                sampling=params,
                deadline_s=2.0,
            )
        )
        now = 1.5
        reception.take(Adopt("d", generation("d"), Origin(src="d")))

        assert batch[1].job.deadline == 2.0

    asyncio.run(scene())


def test_who_waits_for_a_read_is_told_when_the_server_stops() -> None:
    async def scene() -> None:
        async with with_one_on_disk() as (engine, asked):
            ticket = submit(engine, "d")
            await until(lambda: bool(asked))

            engine.drain(5)

            with pytest.raises(Stopping):
                await text_of(ticket)

    asyncio.run(scene())


def test_what_waits_for_a_read_counts_as_waiting() -> None:
    async def scene() -> None:
        store = Store()
        model = FakeModel()
        async with running(model, store=store, max_waiting=2) as engine:
            engine.post(Adopt("late", None, Origin(src="late", preload=False)))
            first = [submit(engine, "late") for _ in range(2)]

            with pytest.raises(Overloaded):
                await text_of(submit(engine, "late"))
            for ticket in first:
                ticket.close()

    asyncio.run(scene())


def test_a_mark_is_answered_when_the_status_shows_what_was_posted_before_it() -> None:
    async def scene() -> None:
        async with running(FakeModel()) as engine:
            engine.post(Adopt("new", generation("z"), Origin(src="new")))
            await asyncio.wrap_future(engine.seen())

            assert "new" in [each.name for each in engine.status.adapters]
        await asyncio.wrap_future(engine.seen())  # it has ended: nobody waits

    asyncio.run(scene())


def test_whoever_asks_for_a_mark_may_leave_before_it_is_answered() -> None:
    async def scene() -> None:
        model = FakeModel()
        model.gate = threading.Semaphore(0)
        async with running(model) as engine:
            ticket = submit(engine, "a")
            await ticket.accepted()
            asking = asyncio.ensure_future(asyncio.wrap_future(engine.seen()))
            await asyncio.sleep(0)

            asking.cancel()
            model.gate.release(100)

            async with asyncio.timeout(10):
                text = "".join([piece.text async for piece in ticket.pieces()])
            assert text == expected("a", 3, 10)
            assert engine.is_alive

    asyncio.run(scene())


def test_the_status_tells_the_bound_on_a_wait_and_why_it_decided_as_it_did() -> None:
    async def main() -> None:
        async with running(FakeModel()) as engine:
            await asyncio.gather(
                *(text_of(submit(engine, name, tokens=20)) for name in ("a", "b"))
            )
            status = engine.status

        assert status.wait_bound_s is not None
        assert status.wait_bound_s >= 0.025, "half of max_wait_s, and some steps"
        assert status.gap_bound_s is not None
        assert status.queue_s == 0.0, "nobody waits"
        assert status.recent
        assert all(each.why and each.jobs > 0 for each in status.recent)
        assert status.cost_error is not None

    asyncio.run(main())
