"""AttentionChoice: the KV and the attention of a step, in C where it can be had."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from hotswap.model.eager.attention import Attention, Segment
from hotswap.model.eager.kv import KV
from hotswap.model.machine.block_attention import (
    BLOCK,
    KV_DTYPES,
    BlockArena,
    BlockAttention,
    Layout,
    block_attention,
)
from hotswap.model.network.rows import BLOCK_TOKENS

assert BLOCK == BLOCK_TOKENS


class StepAttention(Protocol):
    """Of one step's rows."""

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        scaling: float | None,
        window: int | None,
    ) -> Tensor:
        """[tokens, heads, head_dim] -> the same shape. Writes `k` and `v` to the KV."""


class AttentionKV(Protocol):
    """The keys and values of all jobs, and how they are attended to."""

    @property
    def token_bytes(self) -> int:
        """Bytes of one token over all layers written so far."""

    def step(self, segments: list[Segment]) -> StepAttention: ...


def attention_for(dtype: torch.dtype, device: torch.device, blocks: int) -> AttentionKV:
    """The fastest for rows of that type, with room for so many blocks."""
    native = block_attention() if device.type == "cpu" else None
    if native is None or dtype not in KV_DTYPES:
        return TorchKV(device, blocks)
    return BlockKV(native, blocks)


class TorchKV:
    """By torch's operations."""

    def __init__(self, device: torch.device, blocks: int) -> None:
        self._kv, self._device = KV(blocks, device), device

    @property
    def token_bytes(self) -> int:
        return self._kv.token_bytes

    def step(self, segments: list[Segment]) -> Attention:
        return Attention(self._kv, segments, self._device)


class BlockKV:
    """By `native`. The arena of a layer is made at its first write, because only the
    model knows its shape."""

    def __init__(self, native: BlockAttention, blocks: int) -> None:
        self.native, self._blocks = native, blocks
        self._arenas: dict[int, BlockArena] = {}

    @property
    def token_bytes(self) -> int:
        return sum(arena.token_bytes for arena in self._arenas.values())

    def step(self, segments: Sequence[Segment]) -> "_BlockStep":
        parts = [(s.row, s.tokens, s.position, s.blocks) for s in segments]
        return _BlockStep(self, Layout(parts))

    def arena(self, layer: int, k: Tensor, v: Tensor) -> BlockArena:
        """For keys and values [tokens, kv_heads, head_dim]."""
        made = self._arenas.get(layer)
        if made is None:
            _, kv_heads, dim = k.shape
            made = BlockArena(self._blocks, kv_heads, dim, v.shape[2], k.dtype)
            self._arenas[layer] = made
        return made


class _BlockStep:
    def __init__(self, kv: BlockKV, layout: Layout) -> None:
        self._kv, self._layout = kv, layout

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        scaling: float | None,
        window: int | None,
    ) -> Tensor:
        return self._kv.native.attend(
            self._kv.arena(layer, k, v),
            self._layout,
            (q, k, v),
            scaling=q.shape[-1] ** -0.5 if scaling is None else scaling,
            window=window,
        )
