"""Steps for attention's tests: sequences that lie scattered in an arena of NaN."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hotswap.model.gpu.attention_table import (
    AttentionTable,
    block_rows,
    fill,
    most_blocks,
)


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


def step(
    sequences: Sequence[tuple[int, int]],
    shape: Shape,
    device: torch.device | None = None,
    *,
    is_decode: bool = False,
    unused: int = 1,
    seed: int = 0,
) -> Step:
    """(tokens in the KV before, rows) of each sequence, `unused` entries behind them.

    The sequences lie in the arena in another order than in q, with gaps; what belongs
    to none is NaN in the KV.
    """
    random = torch.Generator().manual_seed(seed)
    positions, counts = (np.array(c, np.int32) for c in zip(*sequences, strict=True))
    starts = np.zeros_like(positions)
    end = 3
    for index in torch.randperm(len(sequences), generator=random).tolist():
        starts[index] = end
        end += sum(sequences[index]) + index % 3
    arenas = torch.full((2, end + 70, shape.kv_heads, shape.dim), torch.nan)
    for start, tokens in zip(starts, positions + counts, strict=True):
        own = arenas[:, start : start + tokens]
        own.copy_(torch.randn(own.shape, generator=random))
    rows, entries = int(counts.sum()), len(sequences) + unused
    heads = shape.kv_heads * shape.group
    q = torch.randn((rows + unused, heads, shape.dim), generator=random)
    keys, values = arenas.to(device, shape.dtype)
    height = block_rows(heads, shape.kv_heads)
    shapes: dict[str, tuple[int, ...]]
    shapes = dict.fromkeys(("starts", "seen", "first", "count"), (entries,))
    if not is_decode:
        shapes["blocks"] = (most_blocks(rows + unused, entries, height), 2)
    fields = {name: np.full(size, 99, np.int32) for name, size in shapes.items()}
    fill(fields, starts, positions, counts, height)
    on_device = {k: torch.from_numpy(v).to(device) for k, v in fields.items()}
    table = AttentionTable(**on_device)
    return Step(q.to(device, shape.dtype), keys, values, table, rows)
