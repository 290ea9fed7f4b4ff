"""Steps for attention's tests: sequences in scattered blocks of an arena of NaN."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hotswap.model.gpu.attention_table import (
    AttentionTable,
    fill,
    most_tiles,
    tile_rows,
)
from hotswap.model.network.rows import BLOCK_TOKENS


@dataclass(frozen=True)
class Shape:
    kv_heads: int = 2
    group: int = 4  # query heads of each KV head
    dim: int = 16
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Step:
    """Arguments of `attend`."""

    q: Tensor
    keys: Tensor
    values: Tensor
    table: AttentionTable
    rows: int  # of q that belong to a sequence; behind them lies padding
    places: list[Tensor]  # of each sequence: the arena row of each of its tokens


def step(
    sequences: Sequence[tuple[int, int]],
    shape: Shape,
    device: torch.device | None = None,
    *,
    is_decode: bool = False,
    unused: int = 1,
    seed: int = 0,
    shared: int = 0,
) -> Step:
    """(tokens in the KV before, rows) of each sequence, `unused` entries behind them.

    No block lies where its number in the sequence says; the first `shared` of them are
    those of all who have as many before this step. What belongs to no token is NaN in
    the KV, and what lies behind the table names blocks of NaN.
    """
    random = torch.Generator().manual_seed(seed)
    positions, counts = (np.array(c, np.int32) for c in zip(*sequences, strict=True))
    blocks, arena_blocks = _blocks(sequences, shared, random)
    size = (2, arena_blocks * BLOCK_TOKENS, shape.kv_heads, shape.dim)
    places = []
    arenas = torch.full(size, torch.nan)
    for own, tokens in zip(blocks, positions + counts, strict=True):
        at = torch.arange(tokens)
        where = torch.tensor(own)[at // BLOCK_TOKENS] * BLOCK_TOKENS
        places.append(where + at % BLOCK_TOKENS)
        written = torch.randn((2, int(tokens), *size[2:]), generator=random)
        kept = arenas[:, places[-1]]  # by one who shares it
        arenas[:, places[-1]] = torch.where(kept.isnan(), written, kept)
    rows, entries = int(counts.sum()), len(sequences) + unused
    heads = shape.kv_heads * shape.group
    q = torch.randn((rows + unused, heads, shape.dim), generator=random)
    keys, values = arenas.to(device, shape.dtype)
    height = tile_rows(heads, shape.kv_heads)
    flat = np.array([block for own in blocks for block in own], np.int32)
    shapes: dict[str, tuple[int, ...]]
    shapes = dict.fromkeys(("offset", "seen", "first", "count"), (entries,))
    if not is_decode:
        shapes["tiles"] = (most_tiles(rows + unused, entries, height), 2)
    fields = {name: np.full(size, 99, np.int32) for name, size in shapes.items()}
    nobodys = arena_blocks - 1
    fields["block_table"] = np.full(len(flat) + 20, nobodys, np.int32)
    fill(fields, flat, positions, counts, height)
    on_device = {k: torch.from_numpy(v).to(device) for k, v in fields.items()}
    table = AttentionTable(**on_device)
    return Step(q.to(device, shape.dtype), keys, values, table, rows, places)


def _blocks(
    sequences: Sequence[tuple[int, int]], shared: int, random: torch.Generator
) -> tuple[list[list[int]], int]:
    """Of each sequence; and how many there are, of which nobody has the last."""
    needed = [-(-sum(each) // BLOCK_TOKENS) for each in sequences]
    free = torch.randperm(sum(needed) + shared + 2, generator=random).tolist()
    prefix = [free.pop() for _ in range(shared)]
    found = []
    for (before, _), count in zip(sequences, needed, strict=True):
        own = prefix if before >= shared * BLOCK_TOKENS else []
        found.append([*own, *(free.pop() for _ in range(count - len(own)))])
    return found, sum(needed) + shared + 3
