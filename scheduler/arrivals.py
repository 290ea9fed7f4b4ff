"""Arrivals: when the jobs of a trace come to the simulator."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from scheduler.job import Job


class Arrivals:
    """Jobs in the order of the trace. In a closed loop a job arrives as soon as fewer
    are there than its line has clients: one line for all, or one for each generation
    that `clients` names; the others come when the trace says."""

    def __init__(
        self, trace: Iterable[Job], clients: int | Mapping[str, int] | None
    ) -> None:
        self._clients = clients
        self._queues: dict[str, list[Job]] = {}
        self._present: Counter[str] = Counter()
        for job in list(trace)[::-1]:
            self._queues.setdefault(self._queue_of(job), []).append(job)

    def due(self, now: float) -> Iterator[Job]:
        for name, queue in self._queues.items():
            most = self._most(name)
            while queue and (
                queue[-1].arrival <= now if most is None else self._present[name] < most
            ):
                job = queue.pop()
                if most is not None:
                    job.arrival = now
                self._present[name] += 1
                yield job

    def next_s(self) -> float | None:
        """When the next job comes, if all that came have ended."""
        return min(
            (queue[-1].arrival for queue in self._queues.values() if queue),
            default=None,
        )

    def ended(self, job: Job) -> None:
        self._present[self._queue_of(job)] -= 1

    def _queue_of(self, job: Job) -> str:
        clients = self._clients
        return (
            job.generation
            if isinstance(clients, Mapping) and job.generation in clients
            else ""
        )

    def _most(self, queue: str) -> int | None:
        clients = self._clients
        return clients.get(queue) if isinstance(clients, Mapping) else clients
