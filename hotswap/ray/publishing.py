"""Publishing: what a replica tells the routers, and the autoscaler, of itself.

Plain data: it travels through Ray's controller to each proxy.
"""

from collections.abc import Mapping
from typing import Any

from hotswap.adapters.adapter_info import AdapterInfo
from hotswap.api.shared.server_state import ServerState
from scheduler import BASE
from scheduler.routing import ReplicaReport

_MOST_NAMES = 1000  # of a kind; what is not told costs a swap, no answer


class Publisher:
    """Of one server; one thread at a time."""

    def __init__(self, server: ServerState, seats: int) -> None:
        self._server, self._seats = server, seats

    def stats(self, now_s: float) -> dict[str, Any]:
        """`now_s`: seconds that other machines count, too."""
        server = self._server
        now = server.engine.status
        there = {*now.warm, *now.serving, now.resident}
        warm = [r.name for r in now.adapters if r.generation in there or _waits(r)]
        mixed = [r.name for r in now.adapters if r.generation_info.can_merge is False]
        return {
            "at_s": now_s,
            "warm": warm[:_MOST_NAMES],
            "mixed": mixed[:_MOST_NAMES],
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


def _waits(row: AdapterInfo) -> bool:
    """Whether jobs hold it, whatever they wait for."""
    return row.leases > 0
