"""KV: the keys and values of all jobs, in one arena of blocks for each layer.

Whose blocks they are says the table of each row (`Row.blocks`); nothing is kept of it.
Where the blocks of what a row sees are neighbours, it is a view of the arena, and
nothing is copied. The arena of a layer is made at its first write, [rows, kv_heads,
head_dim], because only the model knows those.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from hotswap.model.network.rows import BLOCK_TOKENS

Part = tuple["array[int]", int, int]
"""Positions [first, stop) of the job whose table that is."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where consecutive positions of one job are."""

    blocks: torch.Tensor | None  # [n] int32 that hold them; None: they are neighbours
    rows: slice  # of the arena, or of what the blocks hold

    def of(self, arena: torch.Tensor) -> torch.Tensor:
        """[positions, kv_heads, head_dim]: a view where they are neighbours."""
        if self.blocks is None:
            return arena[self.rows]
        by_block = arena.view(-1, BLOCK_TOKENS, *arena.shape[1:])
        return by_block.index_select(0, self.blocks).flatten(0, 1)[self.rows]


class KV:
    """So many blocks, on `device`."""

    def __init__(self, blocks: int, device: torch.device) -> None:
        self._numbers = array("i", range(blocks))
        self._device = device
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
            rows_of_all = len(self._numbers) * BLOCK_TOKENS
            for arenas, tensor in ((self._keys, keys), (self._values, values)):
                arenas[layer] = tensor.new_empty((rows_of_all, *tensor.shape[1:]))
        self._keys[layer].index_copy_(0, rows, keys)
        self._values[layer].index_copy_(0, rows, values)
        return self._keys[layer], self._values[layer]

    def seen(self, part: Part) -> Seen:
        """Where a part is."""
        _, first, stop = part
        blocks, offset = _blocks(part), first % BLOCK_TOKENS
        start = blocks[0]
        if blocks == self._numbers[start : start + len(blocks)]:
            offset += start * BLOCK_TOKENS
            return Seen(None, slice(offset, offset + stop - first))
        index = torch.from_numpy(np.frombuffer(blocks, np.int32)).to(self._device)
        return Seen(index, slice(offset, offset + stop - first))


def arena_rows(part: Part) -> np.ndarray:
    """[positions] int32: where each is."""
    rows, _ = arena_rows_of_all([part])
    return rows[0]


def arena_rows_of_all(parts: Iterable[Part]) -> tuple[np.ndarray, np.ndarray]:
    """[parts, longest] int32: where each position is; behind the end of a part its
    first one comes again. And bool, which are inside."""
    blocks, bounds = array("i"), []
    for part in parts:
        _, first, stop = part
        # What follows finds a position's block at its number plus this
        bounds.append((first, stop, len(blocks) - first // BLOCK_TOKENS))
        blocks.extend(_blocks(part))
    first, stop, ahead = np.array(bounds, np.int32).T[:, :, None]
    steps = np.arange((stop - first).max(), dtype=np.int32)
    inside = steps < stop - first
    positions = first + steps * inside
    number = positions // BLOCK_TOKENS
    found = np.frombuffer(blocks, np.int32)[number + ahead]
    return (found - number) * BLOCK_TOKENS + positions, inside


def _blocks(part: Part) -> "array[int]":
    """Those that hold it. A copy: an array that somebody looks into cannot grow."""
    table, first, stop = part
    end = -(-stop // BLOCK_TOKENS)
    assert len(table) >= end, f"a table of {len(table)} blocks, and {stop} tokens"
    return table[first // BLOCK_TOKENS : end]
