"""How long the queue should take, against how long it takes on the simulator."""

from statistics import median

import pytest

from scheduler import BacklogFull, Job, Scheduler
from scheduler.decision import Decision
from scheduler.simulate import simulate
from tests.scheduler.traces import Machine, job, scheduler


class Asked(Scheduler):
    """What was expected, when, and the jobs that waited then."""

    found: list[tuple[float, float, list[int]]]

    def decide(self, now: float) -> Decision:
        if self.waiting:
            self.found.append((now, self.queue_s, list(self._backlog.waiting)))
        return super().decide(now)


def made(policy: str, kv_tokens: int) -> Asked:
    it = scheduler(policy, kv_tokens=kv_tokens, costs=Machine(), checked=False)
    it.__class__ = Asked
    assert isinstance(it, Asked)
    it.found = []
    return it


@pytest.mark.parametrize(
    ("policy", "kv_tokens"),
    [("affinity", 600), ("fcfs-mixed", 600), ("fcfs-mixed", 10**5)],
)
def test_a_queue_takes_about_as_long_as_was_expected(
    policy: str, kv_tokens: int
) -> None:
    """Jobs that ask for 100 tokens and end after 20 to 40."""
    trace: list[Job] = [
        job(n, "aab"[n % 3], prompt=8, tokens=100, arrival=n * 0.03) for n in range(300)
    ]
    it = made(policy, kv_tokens)

    run = simulate(it, trace, Machine(), ends={n: 20 + n % 21 for n in range(300)})

    ratios = []
    for at, expected, waited in it.found:
        took = max(run.first_token_at[each] for each in waited) - at
        if len(waited) >= 20:
            ratios.append(expected / took)
    assert len(ratios) > 100
    assert 0.5 <= median(ratios) <= 2.0


def test_nobody_waits_for_an_empty_queue() -> None:
    assert made("affinity", 600).queue_s == 0.0


def test_a_full_queue_takes_a_while_also_before_the_first_step() -> None:
    it = scheduler("affinity", max_waiting=3, costs=Machine())
    for n in range(3):
        it.submit(job(n))
    with pytest.raises(BacklogFull):
        it.submit(job(3))

    assert it.queue_s > 0.0
