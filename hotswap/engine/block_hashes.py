"""Block hashes: what the full blocks of a sequence are known by in the KV cache.

A chain, as in vLLM (v1/core/kv_cache_utils.py: hash_block_tokens): each is a digest of
the one before and of its block's tokens, and the first begins with the generation that
computes them and the request's `cache_salt`. So a block is found for that generation,
behind those tokens and by who knows that salt, and for nobody else.

Each is made when it is first asked for, 2 us on the engine thread: some for each chunk
of a prompt, as it is computed, and not 20 ms when one of 128k tokens comes.
"""

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import overload

# Nobody can make two that are equal: of 256 bits, a birthday is 2^128 tries away.
_BYTES = 32


class BlockHashes(Sequence[bytes]):
    """Of the blocks that `tokens` fill, which may grow at their end."""

    def __init__(
        self,
        tokens: Sequence[int],
        block_tokens: int,
        *,
        generation: str,
        cache_salt: str | None = None,
    ) -> None:
        """`block_tokens`: of one block. `generation`: its key."""
        self._tokens = tokens
        self._block_tokens = block_tokens
        self._written = Struct(f"<{block_tokens}i").pack
        self._made: list[bytes] = []
        # Python's notation: no two pairs are written alike.
        self._last = _digest(repr((generation, cache_salt)).encode())

    def __len__(self) -> int:
        return len(self._tokens) // self._block_tokens

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        places = range(len(self))[at]
        if isinstance(places, int):
            self._make(places + 1)
            return self._made[places]
        self._make(max(places, default=-1) + 1)
        return [self._made[place] for place in places]

    def _make(self, count: int) -> None:
        """So many, at least."""
        size = self._block_tokens
        for start in range(len(self._made) * size, count * size, size):
            tokens = self._written(*self._tokens[start : start + size])
            self._last = _digest(self._last + tokens)
            self._made.append(self._last)


def _digest(of: bytes) -> bytes:
    return blake2b(of, digest_size=_BYTES).digest()
