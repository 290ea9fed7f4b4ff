"""PlainOperations: those of a chain in plain torch, written to be read.

One job with all its tokens in each step, no KV, no adapters, nothing fused: what a
device's own operations are compared with.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hotswap.model.network.operations import AttentionShape, Pointwise
from hotswap.model.weights.slots import Swappable

Step = Tensor
"""[tokens] the ids; the last one wants logits."""


class PlainLinear:
    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = list(modules.values())

    def rows(self, x: Tensor) -> Tensor:
        return torch.cat([module(x) for module in self._modules], -1)

    def add(self, x: Tensor, other: Tensor) -> Tensor:
        return self.rows(x) + other


class PlainOperations:
    def __init__(self, rotary: nn.Module) -> None:
        self.linears: list[Swappable] = []  # nothing can be swapped
        self._rotary = rotary
        self.asked: list[str] = []  # which modules were made, by path, in order

    def embed(self, embedding: nn.Parameter, step: Step) -> Tensor:
        return embedding[step]

    def norm(self, module: Any) -> Pointwise:
        def normed(x: Tensor) -> Tensor:
            wide = x.float()
            variance = wide.pow(2).mean(-1, keepdim=True)
            scaled = wide * torch.rsqrt(variance + module.variance_epsilon)
            found: Tensor = scaled.to(x.dtype) * module.weight
            return found

        return normed

    def linear(self, modules: Mapping[str, nn.Module]) -> PlainLinear:
        self.asked += modules
        return PlainLinear(modules)

    def head(self, path: str, module: nn.Module) -> PlainLinear:
        return self.linear({path: module})

    def gate_up(
        self, gate: tuple[str, nn.Module], up: tuple[str, nn.Module]
    ) -> Pointwise:
        gates, ups = self.linear(dict([gate])), self.linear(dict([up]))
        return lambda x: F.silu(gates.rows(x)) * ups.rows(x)

    def attention(
        self, index: int, shape: AttentionShape
    ) -> Callable[[Tensor, Step], Tensor]:
        return lambda qkv, step: self._attend(qkv, shape)

    def last(self, x: Tensor, step: Step) -> Tensor:
        return x[-1:]

    def _attend(self, qkv: Tensor, shape: AttentionShape) -> Tensor:
        tokens, groups = len(qkv), shape.heads // shape.kv_heads
        rotated = shape.heads + shape.kv_heads
        heads = qkv.view(tokens, -1, shape.head_dim).transpose(0, 1)
        q, k, v = heads[: shape.heads], heads[shape.heads : rotated], heads[rotated:]
        position = torch.arange(tokens)
        cos, sin = (x[0] for x in self._rotary(qkv, position[None]))
        q, k = q * cos + _half_turned(q) * sin, k * cos + _half_turned(k) * sin
        k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        behind = position[:, None] - position
        seen = (behind >= 0) & (behind < (shape.window or tokens))
        scores = (q @ k.transpose(1, 2)) * shape.scaling
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        found: Tensor = (weights @ v).transpose(0, 1).reshape(tokens, -1)
        return found


def _half_turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)
