"""Autoscaling: how many replicas there are to be, by the age of their queues.

More while jobs wait for too long on the average of the replicas: the router has spread
what can be spread. Fewer when nobody waits and the others have seats for all that is
there, with some to spare. Ray holds it to the bounds and the delays.
"""

from collections.abc import Mapping
from statistics import fmean
from typing import Any, Protocol

_MOST_AT_ONCE = 2.0  # as many again
_CALM = 0.25  # of the target, below which nobody waits for long
_FULL = 0.7  # of the seats: beyond it no replica can be done without


class Seen(Protocol):
    """Ray's context of a decision: what is read of it."""

    @property
    def current_num_replicas(self) -> int: ...
    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None: ...


class QueueAge:
    """`target_age_s`: how old the oldest waiting job of a replica may be."""

    def __init__(self, target_age_s: float) -> None:
        self._target_s = target_age_s

    def __call__(self, now: Seen) -> tuple[float, dict[str, Any]]:
        told = now.aggregated_metrics or {}
        ages = list(told.get("queue_age_s", {}).values())
        taken = sum(told.get("taken", {}).values())
        return wanted(now.current_num_replicas, ages, taken, self._target_s), {}


def wanted(replicas: int, ages: list[float], taken: float, target_s: float) -> float:
    """`taken`: seats, of one replica's all together."""
    age = fmean(ages) if ages else 0.0
    if age > target_s:
        return replicas * min(age / target_s, _MOST_AT_ONCE)
    is_calm = max(ages, default=0.0) < _CALM * target_s
    if replicas > 1 and is_calm and taken < _FULL * (replicas - 1):
        return replicas - 1
    return replicas
