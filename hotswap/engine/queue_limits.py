"""QueueLimits: who may wait, so that no adapter and no API key keeps the others out.

The scheduler is fair among the jobs that it has; a flood that fills the queue would
keep all others from becoming jobs. So each adapter's waiting jobs, and each key's, have
a limit: a number, or else what is left free. By the latter one alone gets half of the
queue, two get a third each, and whoever comes finds room: Choudhury's and Hahne's
dynamic threshold with a factor of 1 ("Dynamic queue length thresholds for shared-memory
packet switches", 1998).
"""

from dataclasses import dataclass

from hotswap.engine.awaited import Awaited
from hotswap.engine.messages import QueueKind, Submit
from hotswap.errors import Overloaded
from scheduler import BacklogFull, Scheduler

_NAMES: dict[QueueKind, tuple[str, str]] = {
    "adapter": ("the adapter", "limits.waiting_per_adapter"),
    "key": ("the API key", "limits.waiting_per_key"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Most waiting jobs of one adapter and of one API key; None: what is left free."""

    per_adapter: int | None = None
    per_key: int | None = None


class Admission:
    """Owned by the engine thread. What waits for the disk is counted with what waits
    for the scheduler."""

    def __init__(
        self, scheduler: Scheduler, awaited: Awaited, limits: QueueLimits | None
    ) -> None:
        """`limits`: None is none but the scheduler's own, for all together."""
        self._scheduler = scheduler
        self._awaited = awaited
        self._most: dict[QueueKind, int | None] | None = None
        if limits is not None:
            self._most = {"adapter": limits.per_adapter, "key": limits.per_key}

    def check(self, message: Submit, *, is_new: bool) -> None:
        """Whether one more may wait. Raises Overloaded, which names the limit.

        `is_new`: False for one that was let in, and has waited for the disk since.
        """
        most = self._scheduler.max_waiting
        free = most - len(self._awaited) - self._scheduler.waiting
        if free <= 0:
            self._refuse(f"{BacklogFull(most)} (`schedule.max_waiting`)")
        if self._most is None or not is_new:
            return
        for kind, name in message.queues:
            queue = kind, name
            waiting = self._awaited.queued[queue] + self._scheduler.queued[queue]
            own = self._most[kind]
            if waiting >= (free if own is None else own):
                whose, limit = _NAMES[kind]
                self._refuse(
                    f"{waiting} jobs wait already for {whose} `{name}`, as many as "
                    f"may (`{limit}`)"
                )

    def _refuse(self, why: str) -> None:
        raise Overloaded(why, retry_after_s=self._scheduler.queue_s)
