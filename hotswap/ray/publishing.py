"""Publishing: what a replica tells the routers, and the autoscaler, of itself.

Plain data: it travels through Ray's controller to each proxy.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from hotswap.api.shared.server_state import ServerState
from hotswap.engine.status import Status
from scheduler import BASE
from scheduler.routing import ReplicaReport

_MOST_NAMES = 1000  # of a kind; what is not told costs a swap, no answer
_LOOK_S = 30.0  # between looks at all adapters, of which there may be 100,000


class Publisher:
    """Of one server; one thread at a time."""

    def __init__(self, server: ServerState, seats: int) -> None:
        self._server, self._seats = server, seats
        self._looked_at_s = float("-inf")
        self._names: dict[str, list[str]] = {}  # by generation, at the last look
        self._mixed: list[str] = []

    def stats(self, now_s: float) -> dict[str, Any]:
        """`now_s`: seconds that other machines count, too."""
        server = self._server
        now = server.engine.status
        there = {*now.warm, *now.serving, now.resident} - {BASE}
        is_known = all(self._is_known(each, now) for each in there)
        if not is_known or now_s - self._looked_at_s >= _LOOK_S:
            self._look(there, now, now_s)
        warm = [name for each in there for name in self._names.get(each, ())]
        warm += [row.adapter for row in now.queues if row.adapter != BASE]
        return {
            "at_s": now_s,
            "warm": list(dict.fromkeys(warm))[:_MOST_NAMES],
            "mixed": self._mixed,
            "wait_s": now.queue_s,
            "jobs": now.waiting + now.reading + now.live,
            "seats": self._seats,
            "cold_swap_s": now.costs["swap_cold_s"],
            "is_ready": server.health.is_ready,
            "bases": [BASE, *server.names],
            "stands_for": self._stands_for(),
        }

    def load(self) -> dict[str, float]:
        """For the autoscaler: seconds since the oldest job came that waits, and the
        share of the seats that are taken."""
        now = self._server.engine.status
        ages = [row.oldest_s for row in now.queues if row.oldest_s is not None]
        return {
            "queue_age_s": max(ages, default=0.0),
            "taken": (now.live + now.waiting) / self._seats,
        }

    def _is_known(self, generation: str, now: Status) -> bool:
        """Whether its names are, as far as one shows; it may have lost them all."""
        names = self._names.get(generation)
        if not names:
            return names is not None
        row = now.adapter(names[0])
        return row is not None and row.generation == generation

    def _look(self, there: Iterable[str], now: Status, now_s: float) -> None:
        self._looked_at_s = now_s
        self._names = {each: [] for each in there}
        for row in now.adapters:
            if row.generation is not None:
                self._names.setdefault(row.generation, []).append(row.name)
        mixed = (r.name for r in now.adapters if r.generation_info.can_merge is False)
        self._mixed = list(islice(mixed, _MOST_NAMES))

    def _stands_for(self) -> dict[str, str]:
        endpoints = {n: e.adapter for n, e in self._server.endpoints.by_name.items()}
        both = {**endpoints, **self._server.library.aliases}
        return dict(list(both.items())[:_MOST_NAMES])


def report(replica: str, stats: Mapping[str, Any], now_s: float) -> ReplicaReport:
    """What `stats` say to a router whose time it is. Clocks may differ: nothing is of
    the future."""
    return ReplicaReport(
        replica=replica,
        at_s=min(stats["at_s"], now_s),
        warm=frozenset(stats["warm"]),
        **{name: stats[name] for name in _PLAIN},
    )


_PLAIN = ("wait_s", "jobs", "seats", "cold_swap_s", "is_ready")
