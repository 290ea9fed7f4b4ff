"""Turns and queues: what the machine did lately, and who waits, for people."""

import threading
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hotswap.engine.turns import Turns
from scheduler import BASE, Mode, Outcome, Step, StepShape, Swap
from scheduler.policy import Aside, Plan
from tests.engines import Start, submit, text_of, until
from tests.fakes import FakeExecutor


class Asked:
    """What of a sequence is looked at."""

    def __init__(self, adapter: str) -> None:
        self.adapter = adapter


def step(generations: Sequence[str], *, merged: bool, aside: bool = False) -> Step:
    plan = Plan(
        mode=Mode.MERGED if merged else Mode.MIXED,
        generation=generations[0] if merged else None,
        why="because",
        aside=Aside.STREAMS if aside else None,
    )
    rows = {key: generations.count(key) for key in generations}
    return Step(plan=plan, work=(), shape=StepShape(plan.mode, len(rows)), rows=rows)


def land(
    turns: Turns,
    done: Step,
    now: float,
    *,
    seconds: float = 0.1,
    swap: Swap | None = None,
) -> None:
    outcome = Outcome(
        seconds=seconds, swap=swap, finished=frozenset(), warm=frozenset()
    )
    jobs = [Asked("" if key == BASE else key) for key in done.rows]
    turns.step(done, outcome, now, len(jobs), jobs)  # type: ignore[arg-type]


def test_steps_of_one_kind_are_one_turn() -> None:
    turns = Turns()
    for n in range(1, 4):
        land(turns, step(["a"], merged=True), n / 10)

    last = turns.last
    assert last is not None
    assert (last.number, last.steps, last.tokens, last.adapters) == (1, 3, 3, ("a",))
    assert (round(last.begun_s, 9), round(last.seconds, 9)) == (0.0, 0.3)
    assert (last.mode, last.generation, last.why) == (Mode.MERGED, "a", "because")
    assert turns.ended() == []


def test_another_mode_resident_or_an_aside_is_another_turn() -> None:
    turns, now = Turns(), 0.0
    for each in (
        step(["a"], merged=True),
        step(["a", BASE], merged=False, aside=True),
        step(["a"], merged=True),
        step(["a", BASE], merged=False),
        step(["b"], merged=True),
    ):
        now += 0.1
        land(turns, each, now)

    assert [t.is_aside for t in turns.ended()] == [False, True, False, False]
    assert [t.adapters for t in turns.ended()] == [
        ("a",),
        ("a", "base"),
        ("a",),
        ("a", "base"),
    ]
    assert turns.last is not None
    assert turns.last.generation == "b"
    assert [t.number for t in turns.ended(after=2)] == [3, 4]


def test_a_swap_is_a_part_of_the_turn_that_needed_it() -> None:
    turns = Turns()
    land(turns, step(["a"], merged=True), 5.0, swap=Swap(warm=False, seconds=0.5))

    last = turns.last
    assert last is not None
    assert (last.swap, last.swap_s) == ("cold", 0.5)
    assert round(last.begun_s, 9) == 4.4
    assert round(last.seconds, 9) == 0.6


def test_a_pause_ends_a_turn() -> None:
    turns = Turns()
    land(turns, step(["a"], merged=True), 1.0)
    land(turns, step(["a"], merged=True), 9.0)

    assert [t.number for t in turns.ended()] == [1]


def test_what_was_told_changes_no_more() -> None:
    turns = Turns()
    land(turns, step(["a"], merged=True), 1.0)
    told = turns.last

    land(turns, step(["a"], merged=True), 1.1)

    assert told is not None
    assert told.steps == 1


@given(kinds=st.lists(st.sampled_from(["a", "b", "mixed"]), max_size=600))
def test_turns_are_bounded_and_lose_no_step_of_the_last(kinds: list[str]) -> None:
    turns, now = Turns(), 0.0
    for kind in kinds:
        now += 0.1
        is_mixed = kind == "mixed"
        land(turns, step(["a", "b"] if is_mixed else [kind], merged=not is_mixed), now)

    kept = turns.ended()
    assert len(kept) <= 512
    if turns.last is not None:
        every = [*kept, turns.last]
        assert [t.number for t in every] == list(
            range(every[0].number, turns.last.number + 1)
        )
        if len(kept) < 512:
            assert sum(t.steps for t in every) == len(kinds)


async def test_the_engine_notes_its_turns(start: Start) -> None:
    engine = await start(FakeExecutor(), "fcfs-merged")
    for adapter in ("a", "", "b"):
        await text_of(submit(engine, adapter, tokens=4))

    last = engine.turns.last
    assert last is not None
    told = [*engine.turns.ended(), last]
    assert [turn.adapters for turn in told] == [("a",), ("base",), ("b",)]
    assert [turn.tokens for turn in told] == [4, 4, 4]
    assert [turn.swap for turn in told] == ["cold", "warm", "cold"]
    assert last.begun_s <= engine.now_s


async def test_who_waits_is_told_by_adapter_and_age(start: Start) -> None:
    now, model = 0.0, FakeExecutor()
    model.gate = gate = threading.Semaphore(0)
    engine = await start(model, "fcfs-merged", clock=lambda: now)
    first = [submit(engine, "a", tokens=20) for _ in range(3)]
    await first[0].accepted()
    now = 10.0
    late = submit(engine, "b", tokens=5)
    gate.release()  # the step in which it came
    await late.accepted()
    now = 12.0
    gate.release()
    await until(lambda: len(engine.status.queues) == 2)

    a, b = engine.status.queues

    assert (a.adapter, a.waiting, a.live, a.oldest_s) == ("a", 0, 3, None)
    assert (b.adapter, b.waiting, b.live, b.oldest_s) == ("b", 1, 0, 2.0)
    for ticket in (*first, late):
        ticket.close()
    gate.release(100)
    await until(lambda: not engine.status.queues)
