"""KV: the keys and values of all jobs, in one arena of blocks for each layer.

Whose blocks they are says the table of each row (`Row.blocks`); nothing is kept of it.
Where the blocks of what a row sees are neighbours, it is a view of the arena, and
nothing is copied. The arena of a layer is made at its first write, [rows, kv_heads,
head_dim], because only the model knows those.
"""

from array import array
from dataclasses import dataclass

import numpy as np
import torch

from hotswap.model.network.rows import BLOCK_TOKENS

_INSIDE = np.arange(BLOCK_TOKENS)


class KV:
    def __init__(self, blocks: int) -> None:
        self._rows = blocks * BLOCK_TOKENS
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}

    @property
    def token_bytes(self) -> int:
        """Bytes of one token over all layers written so far."""
        return sum(
            arena[0].nbytes
            for layers in (self._keys, self._values)
            for arena in layers.values()
        )

    def write(
        self, layer: int, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store [tokens, kv_heads, head_dim] at arena `rows`; returns both arenas."""
        if layer not in self._keys:
            for arenas, tensor in ((self._keys, keys), (self._values, values)):
                arenas[layer] = tensor.new_empty((self._rows, *tensor.shape[1:]))
        self._keys[layer].index_copy_(0, rows, keys)
        self._values[layer].index_copy_(0, rows, values)
        return self._keys[layer], self._values[layer]


@dataclass(frozen=True, slots=True)
class Seen:
    """Consecutive positions of one job, and where they are."""

    blocks: torch.Tensor | None  # [n] int64 that hold them; None: they are neighbours
    rows: slice  # of the arena, or of what the blocks hold

    @classmethod
    def of(
        cls, table: "array[int]", first: int, stop: int, device: torch.device
    ) -> "Seen":
        """Of the positions [first, stop)."""
        blocks, offset = blocks_of(table, first, stop), first % BLOCK_TOKENS
        if (blocks[1:] - blocks[:-1] == 1).all():
            offset += int(blocks[0]) * BLOCK_TOKENS
            return cls(None, slice(offset, offset + stop - first))
        index = torch.from_numpy(blocks).to(device)
        return cls(index, slice(offset, offset + stop - first))

    def of_arena(self, arena: torch.Tensor) -> torch.Tensor:
        """[positions, kv_heads, head_dim]: a view where they are neighbours."""
        if self.blocks is None:
            return arena[self.rows]
        by_block = arena.view(-1, BLOCK_TOKENS, *arena.shape[1:])
        return by_block.index_select(0, self.blocks).flatten(0, 1)[self.rows]


def blocks_of(table: "array[int]", first: int, stop: int) -> np.ndarray:
    """[n] int64: those that hold the positions [first, stop)."""
    start, end = first // BLOCK_TOKENS, -(-stop // BLOCK_TOKENS)
    # A copy: an array that somebody looks into cannot grow.
    found = np.frombuffer(table[start:end], np.int32).astype(np.int64)
    assert len(found) == end - start, "a table is too short"
    return found


def arena_rows(table: "array[int]", first: int, stop: int) -> np.ndarray:
    """[stop - first] int64: where those positions are."""
    rows = blocks_of(table, first, stop)[:, None] * BLOCK_TOKENS + _INSIDE
    return rows.ravel()[first % BLOCK_TOKENS :][: stop - first]
