"""Who chooses among replicas: ours, and what other routers do.

None is weakened: random is seeded, least loaded knows exactly who has how many jobs at
every moment, as a proxy that all requests pass does, and the ring is the same.
"""

from random import Random

from scheduler.fleet import Balancer
from scheduler.routing import ReplicaReport, Router
from scheduler.routing.ring import Ring
from scheduler.routing.shortest import Shortest


class Affinity(Router):
    """Ours. It counts by reports and what it has sent since, not by answers."""

    def finished(self, replica: str, now: float) -> None:
        pass


class RandomChoice:
    def __init__(self) -> None:
        self._random = Random(1)
        self._replicas: dict[str, None] = {}

    def report(self, report: ReplicaReport) -> None:
        self._replicas[report.replica] = None

    def choose(self, adapter: str) -> str | None:
        return self._random.choice(list(self._replicas))

    def sent(self, adapter: str, replica: str, now: float) -> None:
        pass

    def finished(self, replica: str, now: float) -> None:
        pass


class LeastLoaded:
    """The fewest jobs: nginx's `least_conn`."""

    def __init__(self) -> None:
        self._jobs = Shortest()

    def report(self, report: ReplicaReport) -> None:
        if report.replica not in self._jobs:
            self._jobs.put(report.replica, 0.0)

    def choose(self, adapter: str) -> str | None:
        return self._jobs.least()

    def sent(self, adapter: str, replica: str, now: float) -> None:
        self._jobs.put(replica, self._jobs[replica] + 1)

    def finished(self, replica: str, now: float) -> None:
        self._jobs.put(replica, self._jobs[replica] - 1)


class Hashed:
    """Consistent hashing of the name, whatever the load: nginx's `hash consistent`."""

    def __init__(self) -> None:
        self._ring = Ring()

    def report(self, report: ReplicaReport) -> None:
        self._ring.add(report.replica)

    def choose(self, adapter: str) -> str | None:
        return next(self._ring.walk(adapter), None)

    def sent(self, adapter: str, replica: str, now: float) -> None:
        pass

    def finished(self, replica: str, now: float) -> None:
        pass


BALANCERS: dict[str, type[Balancer]] = {
    "affinity": Affinity,
    "least loaded": LeastLoaded,
    "random": RandomChoice,
    "consistent hashing": Hashed,
}
