"""The same decisions as before, step by step: for work that must not change any.

`decisions.json` holds a digest for each policy and trace, at costs that are told and
not learned. When a policy is meant to decide differently, record what it decides now:

    python -m tests.scheduler.test_same_decisions
"""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from scheduler import POLICIES
from scheduler.simulate import Run, simulate
from tests.scheduler.traces import TRACES, Machine, scheduler

DIGESTS = Path(__file__).with_name("decisions.json")


def played(policy: str, trace: str) -> Run:
    """Seats, adapters and KV are short, and a slot is built every now and then."""
    machine = Machine(context=1e-5, rank=1e-5)
    it = scheduler(
        policy,
        kv_tokens=200,
        max_batch=6,
        max_adapters=3,
        max_wait_s=0.5,
        costs=machine,
        checked=False,
    )
    return simulate(it, TRACES[trace](), machine, slots=2)


def digest(run: Run) -> str:
    """Of every plan, of who took part and with how many tokens."""
    found = sha256()
    for step in run.steps:
        plan = step.plan
        how = plan.mode.value, plan.generation, plan.first, plan.aside
        who = [(work.job.id, work.tokens, work.is_prefill) for work in step.work]
        found.update(repr((how, plan.admits, plan.prepare, who)).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("policy", list(POLICIES))
def test_every_decision_is_the_one_recorded(policy: str) -> None:
    recorded = json.loads(DIGESTS.read_text())[policy]

    found = {trace: digest(played(policy, trace)) for trace in TRACES}

    assert found == recorded


def record() -> None:
    found = {p: {t: digest(played(p, t)) for t in TRACES} for p in POLICIES}
    DIGESTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    record()
