"""Queues: how many jobs each adapter has, and since when the first of them waits.

There may be a thousand adapters, so it is looked at twice a second and no more often.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hotswap.engine.batch import Batch
from scheduler import BASE, Scheduler

_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterQueue:
    """Jobs of one generation: those that wait for a seat and KV, and those that have
    them. `adapter`: as the first of them asked for it. `oldest_s`: since the request of
    the one that has waited longest; None if none waits."""

    adapter: str
    generation: str
    waiting: int
    live: int
    oldest_s: float | None


class Queues:
    """Owned by the engine thread."""

    def __init__(
        self, scheduler: Scheduler, batch: Batch, clock: Callable[[], float]
    ) -> None:
        self._scheduler = scheduler
        self._batch = batch
        self._clock = clock
        self._looked_at = float("-inf")
        self._rows: tuple[AdapterQueue, ...] = ()

    def rows(self) -> tuple[AdapterQueue, ...]:
        """The most jobs first; as of half a second ago at the most, or of the last
        step."""
        now = self._clock()
        is_over = self._rows and not (self._scheduler.waiting or self._scheduler.live)
        if is_over or now - self._looked_at >= _EVERY_S:
            self._looked_at = now
            self._rows = tuple(
                AdapterQueue(
                    adapter=self._batch[queued.job].adapter or BASE,
                    generation=queued.generation,
                    waiting=queued.waiting,
                    live=queued.live,
                    oldest_s=None if queued.since is None else now - queued.since,
                )
                for queued in self._scheduler.census.queues()
            )
        return self._rows
