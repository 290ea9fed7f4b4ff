"""What sets the policies of the literature apart; the laws of all are tested with the
scheduler's own."""

from collections import Counter

from scheduler import Mode
from scheduler.simulate import simulate
from tests.scheduler.adversaries import merged_only
from tests.scheduler.traces import (
    Machine,
    advance,
    decided,
    ids,
    job,
    run_dry,
    scheduler,
)


def test_slora_peft_drains_its_batch_and_gives_up_when_thirty_others_wait() -> None:
    """Jobs of `a` come for ever; 31 of `b` wait ahead of the last of them."""
    it = scheduler("slora-peft", max_batch=4)
    it.submit(job(0, "a", tokens=8))
    advance(it)
    for n in range(1, 33):
        it.submit(job(n, "a" if n == 1 else "b", tokens=1))
    advance(it)
    it.submit(job(40, "a", tokens=1))

    turns = [step.plan.generation for step in run_dry(it)]
    first = turns.index("b")

    assert set(turns[:first]) == {"a"}
    assert turns[first:] == ["b"] * 8 + ["a"], "the last of `a` had to wait for them"


def test_slora_peft_lets_others_of_its_adapter_join_while_few_wait() -> None:
    it = scheduler("slora-peft", max_batch=4)
    for n in range(12):
        it.submit(job(n, "ab"[n % 2], tokens=2 + n))

    turns = [step.plan.generation or "?" for step in run_dry(it)]

    assert turns == sorted(turns)


def test_vtc_admits_the_adapter_that_was_served_least() -> None:
    """`a` has many jobs and came first; `b` has few: they go one by one."""
    it = scheduler("vtc", max_batch=2, prefill_tokens=100)
    for n in range(20):
        it.submit(job(n, "a", prompt=10, tokens=10))
    for n in range(20, 24):
        it.submit(job(n, "b", prompt=10, tokens=10))

    steps = run_dry(it)
    firsts = list(dict.fromkeys(i for step in steps for i in ids(step)))

    assert max(firsts.index(n) for n in range(20, 24)) <= 9
    assert {step.plan.mode for step in steps} == {Mode.MIXED}


def test_vtc_lifts_the_counter_of_one_who_was_away() -> None:
    """`b` comes when `a` had 100 jobs: it must not have them all back."""
    it = scheduler("vtc", max_batch=1, prefill_tokens=100)
    for n in range(40):
        it.submit(job(n, "a", prompt=5, tokens=2))
    for _ in range(40):
        advance(it)
    for n in range(100, 120):
        it.submit(job(n, "b", prompt=5, tokens=2))

    steps = [advance(it) for _ in range(20)]

    served_by = Counter(work.job.generation for step in steps for work in step.work)
    assert abs(served_by["a"] - served_by["b"]) <= 4


def test_dlora_merges_what_dominates_and_starves_the_rest_as_published() -> None:
    """`a` has more jobs than a batch all the time: only credits can save `b`."""
    served_b = {}
    for policy in ("dlora", "dlora-credits"):
        it = scheduler(policy, kv_tokens=10**5, max_batch=4, costs=Machine())
        it.submit(job(0, "b", tokens=4))
        for n in range(1, 9):
            it.submit(job(n, "a", tokens=400))
        steps = [advance(it) for _ in range(300)]
        assert steps[0].plan.generation == "a"
        served_b[policy] = any(0 in ids(step) for step in steps)

    assert served_b == {"dlora": False, "dlora-credits": True}


def test_dlora_mixes_what_is_even() -> None:
    it = scheduler("dlora", max_batch=8, costs=Machine())
    for n in range(8):
        it.submit(job(n, "abcd"[n % 4], tokens=20))

    assert decided(it).plan.mode is Mode.MIXED


def test_vtc_lets_nobody_close_the_seats_whose_head_lacks_kv() -> None:
    trace = merged_only(4)
    it = scheduler(
        "vtc", kv_tokens=400, max_batch=6, prefill_tokens=64, patience_s=0.25,
        costs=Machine(),
    )  # fmt: skip

    run = simulate(it, trace, Machine(), slots=2)

    assert len(run.finished_at) == len(trace)
