"""Census: whose jobs there are, for people and routers. Read on the owner's thread."""

from scheduler.backlog import Backlog
from scheduler.decision import Queued


class Census:
    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def queues(self) -> list[Queued]:
        """Of each generation that has jobs, the one with most first."""
        return [group.queued() for group in self._backlog.by_size()]

    def serving(self) -> frozenset[str]:
        """The generations of the live jobs."""
        return frozenset(job.generation for job in self._backlog.live.values())

    def present(self) -> frozenset[str]:
        """The generations that have jobs."""
        return frozenset(self._backlog.groups)
