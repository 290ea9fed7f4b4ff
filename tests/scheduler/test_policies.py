"""The laws every policy keeps on every trace, and what sets the baselines apart."""

from collections import Counter
from functools import cache

import pytest

from benchmarks.baselines import CONTENDERS
from scheduler import BASE, POLICIES, Job, Mode
from scheduler.job import JobState
from scheduler.simulate import Run, simulate
from tests.scheduler.traces import (
    TRACES,
    Machine,
    decided,
    ids,
    job,
    run_dry,
    scheduler,
)

# The literature's are served to nobody.
every_policy = pytest.mark.parametrize(
    "policy",
    [
        pytest.param(name, marks=[] if name in POLICIES else [pytest.mark.slow])
        for name in CONTENDERS
    ],
)
every_trace = pytest.mark.parametrize("trace", list(TRACES))


@cache
def served(policy: str, trace: str, kv_tokens: int = 200) -> tuple[list[Job], Run]:
    """The books are checked after every step on the way."""
    jobs = TRACES[trace]()
    it = scheduler(policy, kv_tokens=kv_tokens, max_batch=6, patience_s=0.25)
    return jobs, simulate(it, jobs, Machine(), slots=2)


@every_policy
@every_trace
def test_no_job_is_lost(policy: str, trace: str) -> None:
    jobs, run = served(policy, trace)

    assert {each.state for each in jobs} == {JobState.DONE}
    assert set(run.finished_at) == {each.id for each in jobs}


@every_policy
@every_trace
def test_no_token_is_computed_twice_where_kv_suffices(policy: str, trace: str) -> None:
    jobs, run = served(policy, trace, kv_tokens=3000)

    prefilled: Counter[int] = Counter()
    decoded: Counter[int] = Counter()
    for work in (work for step in run.steps for work in step.work):
        (prefilled if work.is_prefill else decoded)[work.job.id] += work.tokens
    # The last chunk of the prompt gives the first token.
    assert prefilled == Counter({each.id: each.prompt_tokens for each in jobs})
    assert decoded == Counter({each.id: each.max_tokens - 1 for each in jobs})


@every_policy
@every_trace
def test_a_step_has_work_and_each_job_once(policy: str, trace: str) -> None:
    _, run = served(policy, trace)

    for step in run.steps:
        assert step.work
        assert len(set(ids(step))) == len(step.work) <= 6
        assert step.prefill_tokens <= 16


@every_policy
@every_trace
def test_a_merged_step_serves_the_resident_generation_only(
    policy: str, trace: str
) -> None:
    _, run = served(policy, trace)

    for step in run.steps:
        if step.plan.mode is Mode.MERGED:
            assert set(step.rows) == {step.plan.generation}


@every_policy
@every_trace
def test_first_service_in_a_generation_is_in_arrival_order(
    policy: str, trace: str
) -> None:
    """Among those of one priority; a deadline may let a job pass."""
    jobs, run = served(policy, trace)

    firsts = list(dict.fromkeys(i for step in run.steps for i in ids(step)))
    for generation in {each.generation for each in jobs}:
        for priority in {each.priority for each in jobs}:
            own = [
                i
                for i in firsts
                if (jobs[i].generation, jobs[i].priority) == (generation, priority)
            ]
            assert own == sorted(own) or has_deadlines(jobs)


def has_deadlines(jobs: list[Job]) -> bool:
    return any(each.deadline is not None for each in jobs)


@pytest.mark.slow
@every_policy
@every_trace
def test_no_job_runs_in_a_mode_it_must_not_have(policy: str, trace: str) -> None:
    for _, run in (served(policy, trace), served(policy, trace, kv_tokens=61)):
        for step in run.steps:
            is_mixed = step.plan.mode is Mode.MIXED
            for work in step.work:
                assert work.job.can_mix if is_mixed else work.job.can_merge


@every_policy
@every_trace
def test_a_mixed_step_has_no_more_adapters_than_allowed(
    policy: str, trace: str
) -> None:
    it = scheduler(policy, max_batch=6, patience_s=0.25, max_mixed_adapters=2)

    run = simulate(it, TRACES[trace](), Machine(), slots=2)

    assert all(len(step.rows.keys() - {BASE}) <= 2 for step in run.steps)
    assert len(run.finished_at) == 60


@every_policy
@every_trace
def test_it_is_never_idle_with_work_waiting_however_short_kv_is(
    policy: str, trace: str
) -> None:
    """61 tokens hold the largest job and little else; `Checked` sees each answer."""
    jobs, run = served(policy, trace, kv_tokens=61)

    assert all(step.work for step in run.steps)
    assert len(run.finished_at) == len(jobs)


@pytest.mark.slow
@every_policy
@every_trace
def test_the_same_trace_gives_the_same_decisions(policy: str, trace: str) -> None:
    _, first = served(policy, trace)

    _, again = served.__wrapped__(policy, trace)

    assert [(s.plan, ids(s)) for s in first.steps] == [
        (s.plan, ids(s)) for s in again.steps
    ]
    assert first.first_token_at == again.first_token_at


def test_fcfs_mixed_never_merges() -> None:
    _, run = served("fcfs-mixed", "one is hot")

    assert {step.plan.mode for step in run.steps} == {Mode.MIXED}
    assert run.swaps == 0


def test_fcfs_merged_serves_the_generation_of_the_oldest_job() -> None:
    it = scheduler("fcfs-merged")
    for n, generation in enumerate("abab"):
        it.submit(job(n, generation, tokens=2 if n == 0 else 4))

    steps = run_dry(it)

    assert "".join(step.plan.generation or "?" for step in steps) == "aabbbbaa"


def test_longest_queue_takes_the_longest_and_drains_it() -> None:
    it = scheduler("longest-queue", max_batch=2)
    for n, generation in enumerate("abbbcc"):
        it.submit(job(n, generation, tokens=2))
    first = [decided(it).plan.generation]
    for n in range(6, 12):
        it.submit(job(n, "c", tokens=2))

    turns = first + [step.plan.generation for step in run_dry(it)]

    assert list(dict.fromkeys(turns)) == ["b", "c", "a"]
    assert turns == sorted(turns, key=lambda each: "bca".index(each or "?"))


def test_longest_queue_breaks_a_tie_by_arrival() -> None:
    it = scheduler("longest-queue")
    for n, generation in enumerate("baab"):
        it.submit(job(n, generation))

    assert decided(it).plan.generation == "b"
