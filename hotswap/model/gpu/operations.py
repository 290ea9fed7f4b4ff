"""GpuOperations: the operations that a network is written over, one launch each.

Not yet run on a GPU.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from hotswap.model.gpu.arena import Arena
from hotswap.model.gpu.attention_table import AttentionTable
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.gpu.linear import GpuLinear
from hotswap.model.gpu.lora_pool import LoraPool, page_bytes
from hotswap.model.machine.device import Device
from hotswap.model.network.operations import AttentionShape
from hotswap.model.network.rows import BLOCK_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GpuStep:
    """A step where the model computes. int32, at the same address for each step of a
    bucket, but `sampled`: int64, what the step before sampled."""

    ids: torch.Tensor  # [tokens]
    source: torch.Tensor  # [tokens] place in `sampled` of a token in the air, or -1
    sampled: torch.Tensor
    positions: torch.Tensor  # [tokens]
    write: torch.Tensor  # [tokens] arena row, or -1
    last: torch.Tensor | None  # [rows that want logits]; None: every row, in order
    table: AttentionTable


class GpuOperations:
    """`Operations[GpuStep]`. `rotary`: the model's module, asked once, for `context`
    positions. `allocate` and `mix` come before the first step."""

    def __init__(
        self, kernels: Kernels, rotary: nn.Module, like: torch.Tensor, context: int
    ) -> None:
        """`like`: a tensor of the model's type where it computes."""
        self.linears: list[GpuLinear] = []
        self.attentions: list[AttentionShape] = []
        self.place = like.device
        self._kernels = kernels
        self._like = like.new_empty(0)
        positions = torch.arange(context, device=self.place)
        with torch.no_grad():
            cos, sin = rotary(self._like.float(), positions[None])
        self._cos, self._sin = cos[0].contiguous(), sin[0].contiguous()

    @property
    def kv_token_bytes(self) -> int:
        """Of one token, over all layers."""
        numbers = sum(2 * each.kv_heads * each.head_dim for each in self.attentions)
        return numbers * self._like.itemsize

    @property
    def kv_blocks(self) -> int:
        """Of the KV that was allocated."""
        return len(self._arena.keys[0]) // BLOCK_TOKENS

    @property
    def lora_page_bytes(self) -> int:
        """Of one page of the pool."""
        shapes = [linear.shape for linear in self.linears]
        return page_bytes(shapes, self._like.dtype)

    def allocate(self, kv_tokens: int) -> None:
        """The KV, for a multiple of BLOCK_TOKENS."""
        shape = self.attentions[0]
        self._arena = Arena(
            len(self.attentions),
            kv_tokens,
            (shape.kv_heads, shape.head_dim),
            like=self._like,
        )

    def mix(self, pages: int, device: Device) -> LoraPool:
        """The adapters of mixed steps. Every linear adds them from now on."""
        pool = LoraPool(
            [linear.shape for linear in self.linears],
            pages,
            self._like.dtype,
            device,
            place=self.place,
            kernels=self._kernels,
        )
        for index, linear in enumerate(self.linears):
            linear.lora = pool.layer(index)
        return pool

    def embed(self, embedding: nn.Parameter, step: GpuStep) -> torch.Tensor:
        """[tokens, hidden]."""
        ids = self._kernels.pending(step.ids, step.source, step.sampled)
        return F.embedding(ids, embedding)

    def norm(self, module: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        # The module's own parameter: a slot may put another tensor into it.
        weight, eps = module.weight, float(module.variance_epsilon)
        return lambda x: self._kernels.rms_norm(x, weight, eps)

    def linear(self, modules: Mapping[str, nn.Module]) -> GpuLinear:
        return self._kept(GpuLinear(modules, self._kernels))

    def head(self, path: str, module: nn.Module) -> GpuLinear:
        """It sees the rows that want logits."""
        return self._kept(GpuLinear({path: module}, self._kernels, is_head=True))

    def gate_up(
        self, gate: tuple[str, nn.Module], up: tuple[str, nn.Module]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        linear = self.linear(dict((gate, up)))
        return lambda x: self._kernels.silu_mul(linear.rows(x))

    def attention(
        self, index: int, shape: AttentionShape
    ) -> Callable[[torch.Tensor, GpuStep], torch.Tensor]:
        """qkv [tokens, (heads + 2 kv_heads) head_dim] -> [tokens, heads head_dim].
        Writes the arena."""
        self.attentions.append(shape)
        kernels, cos, sin = self._kernels, self._cos, self._sin

        def attend(qkv: torch.Tensor, step: GpuStep) -> torch.Tensor:
            keys, values = self._arena.keys[index], self._arena.values[index]
            places = step.positions, step.write
            q = kernels.rotate_and_write(
                qkv, cos, sin, *places, keys, values, shape.heads
            )
            found = kernels.attend(
                q, keys, values, step.table, shape.scaling, shape.window
            )
            return found.flatten(1)

        return attend

    def last(self, x: torch.Tensor, step: GpuStep) -> torch.Tensor:
        """The rows that want logits."""
        return x if step.last is None else x.index_select(0, step.last)

    def _kept(self, linear: GpuLinear) -> GpuLinear:
        self.linears.append(linear)
        return linear
