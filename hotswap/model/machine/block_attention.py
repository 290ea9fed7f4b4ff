"""BlockAttention: attention over keys and values in blocks, in C.

What torch has for it gathers the blocks of short contexts and computes a mask's hidden
half. `block_attention.c` reads each block where it lies. It is compiled where a
compiler is (`native`) and tried before it is used; else there is none.
"""

import ctypes
import logging
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as sdpa

from hotswap.model.machine.native import NoLibrary, library

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("block_attention.c")
_ADDRESS, _COUNT, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
BLOCK = 16  # tokens, as in block_attention.c
_PIECE = 16  # tokens of a prompt that a thread takes at once
_IS_WIDE = {torch.bfloat16: 0, torch.float32: 1}  # as in block_attention.c
KV_DTYPES = frozenset(_IS_WIDE)


Part = tuple[int, int, int, "array[int]"]
"""Row, tokens, position, blocks: rows [row, row + tokens) of a step are positions from
`position` of the job whose KV is in `blocks`."""


class Layout:
    """Where the rows of a step write, and what they see."""

    def __init__(self, parts: Sequence[Part]) -> None:
        pieces: list[tuple[int, int, int, int]] = []
        table, to = array("i"), array("i")
        for row, tokens, position, blocks in parts:
            for done in range(0, tokens, _PIECE):
                taken = min(_PIECE, tokens - done)
                pieces.append((row + done, taken, position + done, len(table)))
            for place in range(position, position + tokens):
                block, offset = divmod(place, BLOCK)
                to.append(blocks[block] * BLOCK + offset)
            table.extend(blocks[: -(-(position + tokens) // BLOCK)])
        self.rows = len(to)
        self.lowest, self.highest = min(table), max(table)
        # What lies at the addresses, for as long as this does
        self._held = [np.array(each, np.int32) for each in (table, to, pieces)]
        addresses = (each.ctypes.data for each in self._held)
        self._told = _Layout(*addresses, len(to), len(pieces))
        self.address = ctypes.addressof(self._told)


class _Layout(ctypes.Structure):
    _fields_ = (
        *((name, _ADDRESS) for name in ("tables", "to", "pieces")),
        *((name, _COUNT) for name in ("rows", "count")),
    )


class BlockArena:
    """The keys and values of one layer, in `dtype`, of KV_DTYPES: [blocks, kv heads,
    dim, BLOCK] and [blocks, kv heads, BLOCK, dim of values in whole BLOCK]."""

    def __init__(
        self, blocks: int, kv_heads: int, dim: int, value_dim: int, dtype: torch.dtype
    ) -> None:
        wide = -(-value_dim // BLOCK) * BLOCK
        # Zeros: what is never written is multiplied by nothing, and has to be a number.
        self.keys = torch.zeros(blocks, kv_heads, dim, BLOCK, dtype=dtype)
        self.values = torch.zeros(blocks, kv_heads, BLOCK, wide, dtype=dtype)
        self.blocks, self.shape = blocks, (kv_heads, dim, value_dim)
        addresses = self.keys.data_ptr(), self.values.data_ptr()
        self._told = _Arena(*addresses, *self.shape, wide, _IS_WIDE[dtype])
        self.address = ctypes.addressof(self._told)

    @property
    def token_bytes(self) -> int:
        return (self.keys[0].nbytes + self.values[0].nbytes) // BLOCK


class _Arena(ctypes.Structure):
    _fields_ = (
        *((name, _ADDRESS) for name in ("keys", "values")),
        *((n, _COUNT) for n in ("kv_heads", "dim", "value_dim", "wide", "is_wide")),
    )


class BlockAttention:
    """Computes in float32. Any number of threads gives the same bits, and a token those
    that it would have alone."""

    def __init__(self, native: ctypes.CDLL) -> None:
        self._attend = native.attend
        self._attend.argtypes = [
            *([_ADDRESS] * 6),
            *([_COUNT] * 5),
            *(ctypes.c_float, _INT),
        ]
        self._attend.restype = None

    def attend(
        self,
        arena: BlockArena,
        layout: Layout,
        qkv: tuple[Tensor, Tensor, Tensor],
        *,
        scaling: float,
        window: int | None,
    ) -> Tensor:
        """[tokens, heads, dim of values] from queries, keys and values [tokens, heads,
        dim], all in the arena's type. Writes keys and values to the arena."""
        q, k, v = map(_by_rows, qkv)
        rows, heads, dim = q.shape
        assert q.dtype is k.dtype is v.dtype is arena.keys.dtype
        assert (*k.shape[1:], v.shape[2]) == arena.shape
        assert (v.shape[1], dim) == arena.shape[:2]
        assert rows == len(k) == len(v) == layout.rows
        assert 0 <= layout.lowest <= layout.highest < arena.blocks
        out = q.new_empty(rows, heads, v.shape[2])
        self._attend(
            *(q.data_ptr(), k.data_ptr(), v.data_ptr(), out.data_ptr()),
            *(arena.address, layout.address),
            *(q.stride(0), k.stride(0), v.stride(0)),
            *(heads, window or 0, scaling, torch.get_num_threads()),
        )
        return out


@cache
def block_attention() -> BlockAttention | None:
    """That of this machine; None where it cannot be had, or is wrong."""
    try:
        made = BlockAttention(library(_SOURCE))
        _try(made)
    except (NoLibrary, AttributeError, AssertionError) as error:
        log.info("no native attention here: %s", str(error) or "wrong result")
        return None
    return made


def _by_rows(x: Tensor) -> Tensor:
    """Itself, or a copy, the heads of a row one behind another."""
    return x if x.stride()[1:] == (x.shape[2], 1) else x.contiguous()


def _try(made: BlockAttention) -> None:
    """Raises AssertionError if it computes otherwise than torch."""
    random = torch.Generator().manual_seed(0)
    tokens, heads, kv_heads, dim = 21, 6, 2, 20
    q, k, v = (
        torch.randn(tokens, count, dim, generator=random)
        for count in (heads, kv_heads, kv_heads)
    )
    query, key, value = (x.transpose(0, 1)[None] for x in (q, k, v))
    wanted = sdpa(query, key, value, is_causal=True, scale=0.3, enable_gqa=True)
    wanted = wanted[0].transpose(0, 1)
    layout = Layout([(0, tokens, 0, array("i", [2, 0]))])
    for dtype, off in ((torch.float32, 1e-4), (torch.bfloat16, 5e-2)):
        arena = BlockArena(3, kv_heads, dim, dim, dtype)
        given = (q.to(dtype), k.to(dtype), v.to(dtype))
        found = made.attend(arena, layout, given, scaling=0.3, window=None)
        assert torch.allclose(found.float(), wanted, rtol=off, atol=off)
