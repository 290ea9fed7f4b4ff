"""The same decisions as before, step by step: for work that must not change any.

`decisions/` holds a file for each policy with a line for each run of equal steps on
each trace, at costs that are told and not learned. When a policy is meant to decide
differently, record what it decides now and read the difference:

    python -m tests.scheduler.test_same_decisions
"""

import json
from collections.abc import Iterator
from itertools import groupby, repeat, zip_longest
from pathlib import Path

import pytest

from benchmarks.baselines import CONTENDERS
from scheduler import Step
from scheduler.simulate import simulate
from tests.scheduler.traces import TRACES, Machine, scheduler

RECORDED = Path(__file__).with_name("decisions")


def played(policy: str, trace: str) -> list[str]:
    """Its decisions. Seats, adapters and KV are short, and a slot is built every now
    and then."""
    machine = Machine(context=1e-5, rank=1e-5)
    it = scheduler(
        policy,
        kv_tokens=200,
        max_batch=6,
        max_mixed_adapters=3,
        patience_s=0.25,
        costs=machine,
        checked=False,
    )
    steps = simulate(it, TRACES[trace](), machine, slots=2).steps
    return [f"{len(list(same))}x {step}" for step, same in groupby(map(line, steps))]


def line(step: Step) -> str:
    """How it ran, and who took part: `7+16` is job 7 with 16 tokens of its prompt."""
    how = f"merged {step.plan.generation}" if step.plan.generation else "mixed"
    ahead = f", builds {step.plan.build_ahead}" if step.plan.build_ahead else ""
    who = (
        f"{w.job.id}+{w.tokens}" if w.is_prefill else f"{w.job.id}" for w in step.work
    )
    return f"{how}{ahead}: {' '.join(who)}"


def first_difference(expected: list[str], found: list[str]) -> str | None:
    """The first step that differs, and both."""
    steps = zip_longest(_each(expected), _each(found), fillvalue="the end")
    for number, (want, have) in enumerate(steps, start=1):
        if want != have:
            return f"at step {number}\n expected {want}\n found    {have}"
    return None


def _each(lines: list[str]) -> Iterator[str]:
    for times, step in (line.split("x ", 1) for line in lines):
        yield from repeat(step, int(times))


@pytest.mark.parametrize("policy", CONTENDERS)
def test_every_decision_is_the_one_recorded(policy: str) -> None:
    recorded = json.loads((RECORDED / f"{policy}.json").read_text())

    for trace in TRACES:
        differs = first_difference(recorded[trace], played(policy, trace))

        assert differs is None, f"{policy} on {trace!r} differs {differs}"


def test_the_first_step_that_differs_is_named() -> None:
    recorded = ["12x mixed: 1 2", "1x merged a: 1+4", "3x mixed: 2"]

    other = first_difference(recorded, ["12x mixed: 1 2", "1x merged b: 2"])
    longer = first_difference(recorded, ["13x mixed: 1 2", *recorded[1:]])
    shorter = first_difference(recorded, [*recorded[:2], "2x mixed: 2"])

    assert other == "at step 13\n expected merged a: 1+4\n found    merged b: 2"
    assert longer == "at step 13\n expected merged a: 1+4\n found    mixed: 1 2"
    assert shorter == "at step 16\n expected mixed: 2\n found    the end"
    assert first_difference(recorded, recorded) is None


def record() -> None:
    for policy in CONTENDERS:
        found = {trace: played(policy, trace) for trace in TRACES}
        (RECORDED / f"{policy}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record()
