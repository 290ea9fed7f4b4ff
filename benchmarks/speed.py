"""How fast the scheduler itself is, in time of this machine's processor."""

import time
from statistics import median

from benchmarks.cells import Cell, play
from benchmarks.machines import machine
from benchmarks.setups import RANK, make_scheduler
from scheduler import Job, Outcome, Step


def speed() -> dict[str, float]:
    """Of a decision, and of a request on the simulator."""
    return {
        "decide us": 1e6 * decision_s(),
        "simulator, s per 100,000": 1e5 * simulated_request_s(),
    }


def decision_s() -> float:
    """Of affinity with 10,000 jobs of 1,000 adapters waiting; the median."""
    scheduler = make_scheduler("affinity", machine("h100-8b"), waiting=10_000)
    for number in range(10_000):
        scheduler.submit(
            Job(
                id=number,
                generation=f"a{number * 7919 % 1000}",
                prompt_tokens=80,
                max_tokens=256,
                arrival=number * 1e-4,
                rank=RANK,
            )
        )
    seconds, now = [], 1.0
    for _ in range(500):
        start = time.process_time()
        step = scheduler.decide(now)
        seconds.append(time.process_time() - start)
        assert isinstance(step, Step)
        now += 0.01
        outcome = Outcome(
            seconds=0.01, swap=None, finished=frozenset(), warm=frozenset()
        )
        scheduler.report(step, outcome, now)
    return median(seconds)


def simulated_request_s() -> float:
    """Of a long trace of 1,000 adapters."""
    cell = Cell(
        machine="h100-8b", zipf=1.0, stay=0.0, adapters=1000, load="0.9", requests=5000
    )
    start = time.process_time()
    play("affinity", cell, 29.6)
    return (time.process_time() - start) / cell.requests
