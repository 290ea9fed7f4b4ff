"""What attention launches, by case, for `ahead_of_time`."""

from functools import partial
from itertools import product

import torch

from hotswap.model.gpu.attention_table import AttentionTable, most_tiles, tile_rows
from hotswap.model.gpu.kernels.attention import attend

DIMS = (16, 32, 64, 80, 96, 128, 256)
GROUPS = (1, 3, 4, 7, 8)
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
KINDS = {"ragged": None, "decode": 256, "split": 1}  # sequences


def _launch(kind: str, dtype: torch.dtype, dim: int, group: int, window: int) -> None:
    kv_heads = 8
    heads = kv_heads * group
    tokens = KINDS[kind] or 512
    sequences = KINDS[kind] or 64

    def meta(*shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    tiles = None
    if kind == "ragged":
        rows = tile_rows(heads, kv_heads)
        tiles = meta(most_tiles(tokens, sequences, rows), 2)
    table = AttentionTable(
        block_table=meta(sequences * 512),
        offset=meta(sequences),
        seen=meta(sequences),
        first=meta(sequences),
        count=meta(sequences),
        tiles=tiles,
    )
    q = meta(tokens, heads, dim, dtype=dtype)
    keys, values = (meta(256_000, kv_heads, dim, dtype=dtype) for _ in range(2))
    attend(q, keys, values, table, 0.125, window or None)


def _name(kind: str, dtype: torch.dtype, dim: int, group: int, window: int) -> str:
    return f"{kind} {str(dtype)[6:]} dim {dim} group {group} window {window}"


# What changes how a kernel is compiled: each with the others as in Llama 3
_CASES = [
    *product(KINDS, DTYPES, DIMS, (4,), (0,)),
    *product(KINDS, DTYPES[:1], (128,), GROUPS, (0,)),
    *product(KINDS, DTYPES, (128,), (4,), (4096,)),
]
LAUNCHES = {_name(*case): partial(_launch, *case) for case in _CASES}
