"""BlockPool: which blocks of the KV cache are held, which are free, which are known.

As vLLM's (v1/core/block_pool.py): a full block is known by a hash of its tokens and of
all before them, which begins with its generation, so that no block is ever found for
another adapter. Several jobs may hold a block that is known. What nobody holds is free;
a free block that is known can be found again until its room is needed: those that
nobody ever knew go first, then the one that was used least recently.
"""

from collections.abc import Iterable, Sequence, Set
from itertools import takewhile

from scheduler.free_runs import FreeRuns


class BlockPool:
    """Blocks by number, from 0. Owned by the scheduler."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self._holders = [0] * blocks
        self._unknown = FreeRuns(blocks)  # free, and nothing in them is known
        self._known: dict[int, None] = {}  # free, the one used least recently first
        self._hash_of: dict[int, tuple[str, bytes]] = {}  # its generation, and its hash
        self._found: dict[str, dict[bytes, int]] = {}  # by generation and hash

    @property
    def free(self) -> int:
        """Blocks that nobody holds."""
        return self._unknown.count + len(self._known)

    def take(self, count: int, after: int | None = None) -> list[int]:
        """So many, of those that are free, to be held by one job: behind `after` if
        they lie there."""
        assert count <= self.free, f"{count} blocks of {self.free}"
        while self._unknown.count < count:
            self._forget(next(iter(self._known)))
        taken = self._unknown.take(count, after)
        for block in taken:
            self._holders[block] = 1
        return taken

    def find(self, generation: str, hashes: Iterable[bytes]) -> list[int]:
        """The blocks of the longest prefix that is known. Holds nothing."""
        known = self._found.get(generation)
        if known is None:
            return []
        found = (known.get(each, -1) for each in hashes)
        return list(takewhile(lambda block: block >= 0, found))

    def held_once(self, blocks: Iterable[int]) -> int:
        """How many of them one job alone holds."""
        return sum(self._holders[block] == 1 for block in blocks)

    def hold(self, blocks: Iterable[int]) -> None:
        """One more job holds them: blocks that were found."""
        for block in blocks:
            self._known.pop(block, None)
            self._holders[block] += 1

    def reclaim(self, block: int) -> list[int]:
        """That known block, held by one job alone, which will write to it: it is not
        known until it has. Nothing if somebody holds it."""
        if block not in self._known:
            return []
        del self._known[block]
        self._forget(block)
        self._holders[block] = 1
        return [block]

    def know(self, generation: str, block: int, digest: bytes) -> None:
        """A held block has all its tokens. One that is known under that hash stays."""
        known = self._found.setdefault(generation, {})
        if block not in self._hash_of and digest not in known:
            known[digest] = block
            self._hash_of[block] = generation, digest

    def release(self, blocks: Sequence[int]) -> None:
        """A job holds them no more: its first blocks are used by most, and stay longest
        where they are known."""
        for block in reversed(blocks):
            self._holders[block] -= 1
            assert self._holders[block] >= 0, f"block {block} was held by nobody"
            if self._holders[block]:
                continue
            if block in self._hash_of:
                self._known[block] = None
            else:
                self._unknown.add(block)

    def distrust(self, blocks: Iterable[int]) -> None:
        """What is in them may be wrong: nobody finds them from now on. Those that
        another job holds, too, were computed before."""
        for block in blocks:
            if self._holders[block] == 1:
                self._forget(block)

    def forget(self, generation: str) -> None:
        """Nobody asks for that generation any more."""
        for block in list(self._found.get(generation, {}).values()):
            self._forget(block)

    def check(self, held: Set[int]) -> None:
        """Assert that these are all that are held. Takes no longer where much is free.
        For tests and idle ones."""
        assert len(held) + self.free == self.blocks, "blocks leak"
        assert all(self._holders[block] for block in held), "a held block is free"
        known = {
            block: (name, digest)
            for name, blocks in self._found.items()
            for digest, block in blocks.items()
        }
        assert known == self._hash_of, "hashes differ"
        assert self._known.keys() <= known.keys(), "a free block is not known"
        assert not any(self._holders[block] for block in self._known), "it is not free"

    def _forget(self, block: int) -> None:
        """It can be found no more."""
        name = self._hash_of.pop(block, None)
        if name is None:
            return
        generation, digest = name
        del self._found[generation][digest]
        if not self._found[generation]:
            del self._found[generation]
        if block in self._known:
            del self._known[block]
            self._unknown.add(block)
