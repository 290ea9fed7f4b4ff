"""Scheduler: seats, parking, prefill tokens and reports."""

import pytest

from scheduler import BacklogFull, Idle, Mode, Outcome, StepShape, Swap
from scheduler.job import JobState
from tests.scheduler.traces import (
    Merge,
    advance,
    decided,
    ids,
    job,
    outcome,
    scheduler,
)


def test_without_jobs_it_is_idle() -> None:
    assert scheduler().decide(now=0.0) == Idle()


def test_a_batch_has_no_more_rows_than_allowed_and_takes_the_oldest() -> None:
    it = scheduler(max_batch=3)
    for n in range(5):
        it.submit(job(n, "ab"[n % 2]))

    assert ids(decided(it)) == [0, 1, 2]


def test_a_merged_step_serves_one_generation_and_a_mixed_one_serves_all() -> None:
    alone, together = scheduler(Merge("b")), scheduler("fcfs-mixed")
    for it in (alone, together):
        it.submit(job(0, "a"))
        it.submit(job(1, "b"))

    assert set(decided(alone).rows) == {"b"}
    assert set(decided(together).rows) == {"a", "b"}


def test_parking_keeps_kv_and_progress() -> None:
    policy = Merge("a")
    it = scheduler(policy, kv_tokens=100)
    a, b = job(0, "a", prompt=4, tokens=9), job(1, "b")
    it.submit(a)
    it.submit(b)
    advance(it)
    advance(it)

    policy.generation = "b"
    advance(it)

    assert a.state is JobState.PARKED
    assert (a.computed, a.generated) == (5, 2)
    assert it.free_kv_tokens == 100 - len(a.blocks) - len(b.blocks)


def test_a_parked_job_goes_on_where_it_was() -> None:
    policy = Merge("a")
    it = scheduler(policy, prefill_tokens=6)
    a = job(0, "a", prompt=10)
    it.submit(a)
    it.submit(job(1, "b"))
    for generation in "ab":
        policy.generation = generation
        advance(it)

    policy.generation = "a"
    step = decided(it)

    assert a.state is JobState.RUNNING
    assert [(w.job.id, w.tokens, w.is_prefill) for w in step.work] == [(0, 4, True)]


def test_a_long_prompt_is_prefilled_in_chunks_beside_jobs_that_decode() -> None:
    it = scheduler(prefill_tokens=16)
    it.submit(job(0, prompt=4, tokens=9))
    advance(it)
    it.submit(job(1, prompt=40, tokens=9))

    steps = [advance(it) for _ in range(4)]

    assert [[(w.tokens, w.is_prefill) for w in s.work] for s in steps] == [
        [(1, False), (16, True)],
        [(1, False), (16, True)],
        [(1, False), (8, True)],
        [(1, False), (1, False)],
    ]


def test_the_oldest_prompt_takes_the_prefill_tokens_of_a_step_first() -> None:
    it = scheduler(prefill_tokens=16)
    for n in range(3):
        it.submit(job(n, prompt=10))

    step = decided(it)

    assert [(w.job.id, w.tokens) for w in step.work] == [(0, 10), (1, 6)]
    assert step.prefill_tokens == 16


def test_after_a_step_that_found_no_memory_prompts_come_in_smaller_chunks() -> None:
    it = scheduler("fcfs-mixed", prefill_tokens=12)
    it.submit(job(0, "a", prompt=30))
    too_large = decided(it)
    it.fail(0)

    it.shrink(too_large)

    it.submit(job(1, "a", prompt=30))
    chunks = [advance(it).prefill_tokens for _ in range(5)]
    assert (too_large.prefill_tokens, chunks) == (12, [6] * 5)
    it.shrink(advance(it))  # it had no prompt: nothing is learned
    it.submit(job(2, "a", prompt=30))
    assert advance(it).prefill_tokens == 6


def test_the_last_chunk_of_a_prompt_gives_the_first_token() -> None:
    it = scheduler(prefill_tokens=16)
    a = job(0, prompt=20)
    it.submit(a)

    advance(it)
    assert (a.computed, a.generated) == (16, 0)

    advance(it)
    assert (a.computed, a.generated) == (20, 1)


def test_a_job_that_has_left_may_be_cancelled_again() -> None:
    it = scheduler()
    done = job(0, tokens=1)
    it.submit(done)
    advance(it)

    it.cancel(0)
    it.fail(17)

    assert done.state is JobState.DONE
    it.check()


@pytest.mark.parametrize("leave", ["cancel", "fail"])
def test_a_report_passes_over_jobs_that_left_meanwhile(leave: str) -> None:
    it = scheduler()
    gone, stays = job(0, "a", tokens=1), job(1, "b", tokens=5)
    it.submit(gone)
    it.submit(stays)
    step = decided(it)

    getattr(it, leave)(0)
    it.report(step, outcome(step), now=1.0)

    assert (gone.computed, gone.generated) == (0, 0)
    assert (stays.computed, stays.generated) == (4, 1)
    assert it.free_kv_tokens == 1000 - len(stays.blocks)


def test_more_waiting_jobs_than_allowed_are_refused_and_leave_no_trace() -> None:
    it = scheduler(max_waiting=2)
    it.submit(job(0))
    it.submit(job(1))

    with pytest.raises(BacklogFull, match="the queue is full: 2 jobs wait already"):
        it.submit(job(2))

    assert it.waiting == 2
    it.check()


def test_jobs_that_run_do_not_count_against_the_queue() -> None:
    it = scheduler(max_waiting=1)
    it.submit(job(0))
    advance(it)

    it.submit(job(1))

    assert (it.waiting, it.live) == (1, 1)


def test_its_repr_is_a_sentence_about_its_state() -> None:
    policy = Merge("a")
    it = scheduler(policy, kv_tokens=100)
    for n, generation in enumerate("abcc"):
        it.submit(job(n, generation))
    advance(it)
    policy.generation = "b"
    advance(it)

    held = sum(len(each.blocks) for each in it._backlog.live.values())
    kv = f"{100 - held} of 100 KV tokens free"
    assert repr(it) == f"<Scheduler 2 waiting, 2 live, {kv}>"


def test_an_outcome_teaches_the_costs_of_its_step_and_of_its_swap() -> None:
    it = scheduler(Merge("a"))
    it.submit(job(0, "a"))
    step = decided(it)

    swap = Swap(warm=False, seconds=0.5)
    it.report(
        step,
        Outcome(seconds=0.02, swap=swap, finished=frozenset(), warm=frozenset("a")),
        now=1.0,
    )

    assert it.costs.step_s(StepShape(Mode.MERGED, 1, 1, 0, 4)) == pytest.approx(
        0.02, rel=0.01
    )
    assert it.costs.swap_s(warm=False) == pytest.approx(0.5, rel=0.01)


def test_a_step_that_took_adapters_in_teaches_nothing_of_its_shape() -> None:
    it = scheduler(Merge("a"))
    it.submit(job(0, "a"))
    step = decided(it)
    before = it.costs.step_s(step.shape)

    done = Outcome(
        seconds=9.0,
        swap=None,
        finished=frozenset(),
        warm=frozenset("a"),
        restacked=True,
    )
    it.report(step, done, now=1.0)

    assert it.costs.step_s(step.shape) == before
