"""KVCache: the KV of live jobs, in blocks."""

from collections.abc import Iterable

from scheduler.block_pool import BlockPool
from scheduler.job import Job
from scheduler.limits import SchedulerLimits


class KVCache:
    """Owned by the scheduler."""

    def __init__(self, limits: SchedulerLimits) -> None:
        self._pool = BlockPool(limits.kv_blocks)
        self._limits = limits

    @property
    def free_tokens(self) -> int:
        """Of blocks that no job holds."""
        return self._pool.free * self._limits.block_tokens

    def admit(self, job: Job) -> None:
        """Give a job its blocks."""
        job.blocks.extend(self._pool.take(self._limits.blocks_for(job.kv_tokens)))

    def leave(self, job: Job) -> None:
        """Take back what it holds, if anything."""
        self._pool.release(job.blocks)
        del job.blocks[:]

    def check(self, live: Iterable[Job]) -> None:
        """Assert that the live jobs hold all that is held."""
        self._pool.check()
        held = {block for job in live for block in job.blocks}
        assert len(held) + self._pool.free == self._pool.blocks, "KV leaks"


class PrefixCounts:
    """What the scheduler is going to count; nothing is looked up yet."""

    preempted = prefix_queries = prefix_hits = 0

    def forget(self, generation: str) -> None:
        """Nobody asks for that generation any more."""
