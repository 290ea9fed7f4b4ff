"""KVCache: the KV of live jobs, in blocks: given when a job comes, and as it grows.

What a job has computed is known by the hashes of its blocks, where its engine gives
them, and found again by the next one that begins alike, of the same generation. The
last token of a job is always computed: the next one is sampled from it. Where it ends a
known block that nobody holds, the job has that block to itself, and it is known again
when the token is; otherwise the whole block is computed, elsewhere, as in vLLM.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from scheduler.block_pool import BlockPool
from scheduler.decision import Work
from scheduler.job import Job, JobState
from scheduler.limits import SchedulerLimits


class KVCache:
    """Owned by the scheduler."""

    def __init__(self, limits: SchedulerLimits) -> None:
        self.queries = 0  # tokens of prompts that were looked up
        self.hits = 0  # and found
        self._pool = BlockPool(limits.kv_blocks)
        self._limits = limits

    @property
    def free_tokens(self) -> int:
        """Of blocks that no job holds."""
        return self._pool.free * self._limits.block_tokens

    def give(self, job: Job) -> int:
        """The blocks that a job asks for, which are free. Returns how many of its first
        tokens are in them already."""
        found: list[int] = []
        if job.block_hashes and job.reads_cache:
            most = job.tokens // self._limits.block_tokens
            found = self._pool.find(job.generation, islice(job.block_hashes, most))
        size, own = self._limits.block_tokens, list[int]()
        if len(found) * size == job.tokens:
            own = self._pool.reclaim(found.pop())  # it is written to
        self._pool.hold(found)
        job.known_blocks = len(found)
        job.blocks.extend([*found, *own])
        self._extend(job, self._limits.blocks_for(job.kv_tokens) - len(job.blocks))
        tokens = job.tokens - 1 if own else len(found) * size
        # Whoever comes again finds what it has computed itself.
        if job.block_hashes and job.reads_cache and job.state is JobState.WAITING:
            self.queries += job.prompt_tokens
            self.hits += tokens
            job.cached_tokens = tokens
        return tokens

    def grow(self, job: Job, tokens: int) -> bool:
        """Blocks for so many tokens in all, one if fewer are free. False: none is."""
        more = max(self._limits.blocks_for(tokens) - len(job.blocks), 1)
        if more > self._pool.free:
            more = min(1, self._pool.free)
        self._extend(job, more)
        return more > 0

    def know(
        self, work: Iterable[Work], in_air: Callable[[], Mapping[int, int]]
    ) -> None:
        """A step has landed: whole blocks of what it computed can be found from now on.
        `in_air`: tokens by job that are counted on, and may fail yet."""
        size = self._limits.block_tokens
        full = [
            job
            for job, _, _ in work
            if job.computed >= (job.known_blocks + 1) * size
            and job.block_hashes
            and job.is_live
        ]
        later = in_air() if full else {}
        for job in full:
            landed = job.computed - later.get(job.id, 0)
            whole = min(landed // size, len(job.block_hashes))
            for at in range(job.known_blocks, whole):
                self._pool.know(job.generation, job.blocks[at], job.block_hashes[at])
                job.known_blocks = at + 1

    def spare(self, job: Job) -> int:
        """Blocks that it holds for tokens to come."""
        return len(job.blocks) - self._limits.blocks_for(job.tokens)

    def cut(self, job: Job, blocks: int) -> None:
        """Take so many of its spare ones back."""
        self._pool.release(job.blocks[-blocks:])
        del job.blocks[-blocks:]
        job.kv_end = len(job.blocks) * self._limits.block_tokens

    def held_alone(self, job: Job) -> int:
        """Tokens of the blocks that would be free without it."""
        return self._pool.held_once(job.blocks) * self._limits.block_tokens

    def leave(self, job: Job) -> None:
        """Take back what it holds, if anything."""
        self._pool.release(job.blocks)
        del job.blocks[:]
        job.kv_end = job.known_blocks = 0

    def distrust(self, job: Job) -> None:
        """A step of it has failed: what it alone has computed may be wrong."""
        self._pool.distrust(job.blocks)

    def forget(self, generation: str) -> None:
        """Nobody will ask for it any more."""
        self._pool.forget(generation)

    def check(self, jobs: Iterable[Job]) -> None:
        """Assert that these jobs hold all that is held."""
        self._pool.check({block for job in jobs for block in job.blocks})

    def _extend(self, job: Job, blocks: int) -> None:
        last = job.blocks[-1] if job.blocks else None
        job.blocks.extend(self._pool.take(blocks, last))
        job.kv_end = len(job.blocks) * self._limits.block_tokens
