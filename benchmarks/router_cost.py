"""What the router costs: time of this machine's processor, and memory."""

import time
import tracemalloc
from itertools import accumulate
from random import Random
from statistics import median

from scheduler import BASE
from scheduler.routing import ReplicaReport, Router

WARM = 64  # adapters with jobs or a slot, in each report
REQUESTS = 20_000


def _report(random: Random, n: int, names: list[str], at_s: float) -> ReplicaReport:
    return ReplicaReport(
        replica=f"r{n}",
        at_s=at_s,
        warm=frozenset(random.choices(names, k=WARM)),
        wait_s=random.random(),
        jobs=random.randrange(32),
        seats=16,
        cold_swap_s=0.4,
    )


def router_cost(*, adapters: int, replicas: int) -> dict[str, float]:
    """Of a choice and the word that it was sent, zipf(1), every tenth for the base;
    and of a report. Each replica has as many warm adapters as a batch and its slots
    hold, so that all of them are warm somewhere or nowhere."""
    random, names = Random(1), [f"adapter-{n}" for n in range(adapters)]
    weights = list(accumulate(1 / n for n in range(1, adapters + 1)))
    asked = random.choices(names, cum_weights=weights, k=REQUESTS)
    tracemalloc.start()
    router = Router()
    reports = [_report(random, n, names, 0.0) for n in range(replicas)]
    for report in reports:
        router.report(report)
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    chosen, heard = [], []
    for number, name in enumerate(asked):
        adapter = BASE if number % 10 == 0 else name
        start = time.perf_counter()
        replica = router.choose(adapter)
        assert replica is not None
        router.sent(adapter, replica, 1.0 + number * 1e-3)
        chosen.append(time.perf_counter() - start)
        if number % 10 == 0:
            news = _report(random, number % replicas, names, 1.0 + number * 1e-3)
            start = time.perf_counter()
            router.report(news)
            heard.append(time.perf_counter() - start)
    chosen.sort()
    return {
        "router, us a request, median": 1e6 * median(chosen),
        "router, us a request, p99": 1e6 * chosen[int(0.99 * len(chosen))],
        "router, us a report, median": 1e6 * median(heard),
        "router, MiB with its reports": memory / 2**20,
    }
