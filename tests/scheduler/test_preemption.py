"""Preemption: who gives up KV when it is short, for whom, and how often."""

import pytest

from scheduler import Job
from scheduler.costs import Costs
from scheduler.decision import Decision
from scheduler.job import JobState
from scheduler.preemption import AGAIN
from scheduler.simulate import Run, simulate
from tests.scheduler.adversaries import ADVERSARIES, MACHINES
from tests.scheduler.in_the_air import landed
from tests.scheduler.test_policies import every_policy
from tests.scheduler.traces import (
    Machine,
    advance,
    decided,
    ids,
    job,
    run_dry,
    scheduler,
)

KV_TOKENS = 400
ENDS = {JobState.DONE, JobState.CANCELLED, JobState.FAILED}


def short_of_kv(
    trace: list[Job], policy: str = "affinity", machine: Costs | None = None
) -> Run:
    machine = machine or Machine()
    it = scheduler(
        policy,
        kv_tokens=KV_TOKENS,
        max_batch=8,
        prefill_tokens=64,
        patience_s=0.5,
        costs=machine,
        checked=False,
    )
    run = simulate(it, trace, machine, slots=2)
    it.check()
    assert it.free_kv_tokens == it.kv_tokens
    return run


def test_when_no_block_is_free_the_one_with_least_to_lose_is_sent_back() -> None:
    it = scheduler(kv_tokens=40)
    old, short, long = (
        job(0, prompt=10, tokens=30),
        job(1, prompt=4, tokens=30),
        job(2, prompt=8, tokens=30),
    )
    for each in (old, short, long):
        it.submit(each)
    while not it.preempted:
        advance(it)

    assert short.state is JobState.PREEMPTED
    assert not short.blocks
    assert short.generated > 0
    assert short.recomputed >= 4
    assert {old.state, long.state} == {JobState.RUNNING}


def test_who_was_sent_back_goes_on_with_all_of_its_tokens_and_samples_each_once() -> (
    None
):
    it = scheduler(kv_tokens=40)
    jobs = [job(n, prompt=8, tokens=24) for n in range(3)]
    for each in jobs:
        it.submit(each)
    steps = run_dry(it)

    assert it.preempted
    assert all(each.generated == 24 for each in jobs)
    again = [w for s in steps for w in s.work if w.is_prefill and w.job.recomputed]
    assert any(work.tokens > 1 for work in again)


def test_blocks_for_tokens_to_come_are_taken_before_anybody_is_sent_back() -> None:
    it = scheduler(kv_tokens=40)
    for n in range(40):  # answers are long, so the next ones come with many blocks
        it.submit(job(n, prompt=1, tokens=30))
    run_dry(it)
    before = it.preempted
    it.submit(growing := job(100, prompt=8, tokens=20))
    it.submit(spare := job(101, prompt=8, tokens=9))
    while growing.generated < 16:
        advance(it)

    assert it.preempted == before
    assert spare.state is JobState.DONE


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_the_oldest_of_all_is_never_sent_back(adversary: str) -> None:
    trace = ADVERSARIES[adversary]()
    it = scheduler(
        "affinity", kv_tokens=KV_TOKENS, max_batch=8, prefill_tokens=64, costs=Machine()
    )
    decide, submit = it.decide, it.submit
    submitted: list[Job] = []
    lost: list[int] = []

    def watched(job: Job) -> None:
        submit(job)
        submitted.append(job)

    def decided_and_looked(now: float) -> Decision:
        alive = [each for each in submitted if each.state not in ENDS]
        oldest = min(alive, key=lambda each: each.order[1], default=None)
        before = oldest.recomputed if oldest else 0
        decision = decide(now)
        if oldest is not None and oldest.recomputed > before:
            lost.append(oldest.id)
        return decision

    it.submit, it.decide = watched, decided_and_looked  # type: ignore[method-assign]
    simulate(it, trace, Machine(), slots=2)

    assert not lost


@every_policy
@pytest.mark.parametrize("adversary", ["bursts", "merged only", "two, and too many"])
def test_everybody_gets_all_tokens_where_kv_is_short(
    policy: str, adversary: str
) -> None:
    trace = ADVERSARIES[adversary]()

    run = short_of_kv(trace, policy)

    assert set(run.finished_at) == {each.id for each in trace}
    assert all(len(run.token_at[each.id]) == each.max_tokens for each in trace)


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_nobody_is_sent_back_again_and_again(adversary: str) -> None:
    """Prompts may fill three quarters of the KV: there is little choice."""
    trace = ADVERSARIES[adversary]()

    short_of_kv(trace)

    for each in trace:
        needed = each.prompt_tokens + each.max_tokens - 1
        assert each.recomputed <= 3 * needed


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_computed_again_for_first_tokens_keeps_to_its_share(
    machine: str,
) -> None:
    trace, costs = ADVERSARIES["bursts"](), MACHINES[machine]()

    run = short_of_kv(trace, machine=costs)

    again = costs.prefill_s(sum(each.recomputed for each in trace))
    # Those that grow send others back without a budget; the first of all is on credit.
    assert again <= 0.1 * run.end + costs.prefill_s(KV_TOKENS)
    assert AGAIN < 0.1


def test_room_is_made_for_a_first_token_whose_patience_is_over() -> None:
    it = scheduler("affinity", kv_tokens=40, patience_s=0.5, costs=Machine())
    for n in range(4):
        it.submit(job(n, "a", prompt=4, tokens=30, arrival=0.0))
    for _ in range(4):
        advance(it)
    it.submit(late := job(9, "b", prompt=20, tokens=4, arrival=0.0))
    assert 9 not in ids(decided(it, 0.4))
    before = it.preempted

    for n in range(8):
        advance(it, 0.6 + n / 100)

    assert late.generated > 0
    assert it.preempted > before


def test_whoever_waits_longest_for_kv_has_room_made_once_it_is_the_oldest() -> None:
    it = scheduler("fcfs-mixed", kv_tokens=30)
    it.submit(job(0, prompt=20, tokens=2))
    it.submit(large := job(1, prompt=25, tokens=4))
    advance(it)
    it.submit(job(2, prompt=2, tokens=20))
    run_dry(it)

    assert large.state is JobState.DONE
    assert large.recomputed == 0


def test_a_job_that_ended_in_the_air_when_it_was_sent_back_leaves() -> None:
    it = scheduler(kv_tokens=24)
    jobs = [job(n, prompt=6, tokens=16) for n in range(3)]
    for each in jobs:
        it.submit(each)
    steps = []
    while not any(each.state is JobState.PREEMPTED for each in jobs):
        step = decided(it)
        it.advance(step)
        steps.append(step)
    gone = next(each for each in jobs if each.state is JobState.PREEMPTED)

    last = max(n for n, step in enumerate(steps) if gone.id in ids(step))
    for step in steps[last:]:
        finished = [gone.id] if step is steps[last] else []
        landed(it, step, *finished)

    assert gone.state is JobState.DONE
    it.check()
