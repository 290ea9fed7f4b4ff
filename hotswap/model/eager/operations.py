"""EagerOperations: the operations of a chain, in a third of transformers' own.

One product for q, k and v; silu, product and residual sums inside the products they
follow; the rotation as one multiply-add.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.linear import Linear
from hotswap.model.eager.ragged_batch import Inputs
from hotswap.model.machine.kernels import Kernels
from hotswap.model.machine.row_operations import (
    ROW_DTYPES,
    RowOperations,
    row_operations,
)
from hotswap.model.network.operations import AttentionShape, Pointwise


@dataclass(frozen=True, slots=True)
class EagerStep:
    """A step with the rotation of its positions, the same in all layers."""

    inputs: Inputs
    cos: Tensor  # [tokens, 1, head_dim]
    sin: Tensor  # the same, the first half's sign turned


class EagerOperations:
    """`Operations` of `EagerStep`s, in the type of `like`. `rotary`: the model's own
    module, which computes cos and sin in it."""

    def __init__(
        self,
        rotary: nn.Module,
        like: Tensor,
        lora: BatchedLora,
        kernels: Kernels,
    ) -> None:
        self.linears: list[Linear] = []
        self._rotary = rotary
        self._like = like
        self._lora = lora
        self._kernels = kernels
        is_ours = like.dtype in ROW_DTYPES and like.device.type == "cpu"
        self._rows = row_operations() if is_ours else None

    def step(self, inputs: Inputs) -> EagerStep:
        """What the chain is called with."""
        cos, sin = self._rotary(self._like, inputs.positions[None])
        half = cos.shape[-1] // 2
        # rotate_half(x) * sin is roll(x) * sin with the first half's sign turned
        sin = torch.cat((-sin[..., :half], sin[..., half:]), -1)
        return EagerStep(inputs, *(x[0, :, None].contiguous() for x in (cos, sin)))

    def embed(self, embedding: nn.Parameter, step: EagerStep) -> Tensor:
        return F.embedding(step.inputs.ids, embedding).to(self._like.dtype)

    def norm(self, module: nn.Module) -> "RMSNorm":
        return RMSNorm(module, self._rows)

    def linear(self, modules: Mapping[str, nn.Module]) -> Linear:
        return self._made(modules)

    def head(self, path: str, module: nn.Module) -> Linear:
        return self._made({path: module}, is_head=True)

    def gate_up(
        self, gate: tuple[str, nn.Module], up: tuple[str, nn.Module]
    ) -> Pointwise:
        silu, mul = self._made(dict([gate])).silu, self._made(dict([up])).mul
        return lambda x: mul(x, silu(x))

    def attention(
        self, index: int, shape: AttentionShape
    ) -> Callable[[Tensor, EagerStep], Tensor]:
        return RotaryAttention(index, shape, self._rows)

    def last(self, x: Tensor, step: EagerStep) -> Tensor:
        return x.index_select(0, step.inputs.last)

    def _made(
        self, modules: Mapping[str, nn.Module], *, is_head: bool = False
    ) -> Linear:
        made = Linear(modules, self._kernels, self._lora, is_head=is_head)
        self.linears.append(made)
        return made


class RMSNorm:
    """As transformers', in one operation, ours, or five; `F.rms_norm` takes nine."""

    def __init__(self, module: Any, rows: RowOperations | None) -> None:
        self._weight = module.weight  # the parameter: a slot may fill it otherwise
        self._epsilon = float(module.variance_epsilon)
        self._eps = torch.tensor([self._epsilon], device=self._weight.device)  # float32
        self._rows = rows

    def __call__(self, x: Tensor) -> Tensor:
        if self._rows is not None:
            return self._rows.rms_norm(x, self._weight, self._epsilon)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.addcmul(self._eps, norm, norm, value=1 / x.shape[-1]).rsqrt_()
        return (x * scale).to(x.dtype) * self._weight


class RotaryAttention:
    """Rotation and attention of layer `index` on the KV arena."""

    def __init__(
        self, index: int, shape: AttentionShape, rows: RowOperations | None
    ) -> None:
        self._index = index
        self._head_dim = shape.head_dim
        self._queries = shape.heads
        self._rotated = shape.heads + shape.kv_heads  # heads that are turned: q and k
        self._scaling = shape.scaling
        self._window = shape.window
        self._rows = rows

    def __call__(self, qkv: Tensor, step: EagerStep) -> Tensor:
        heads = qkv.view(qkv.shape[0], -1, self._head_dim)
        qk, v = heads[:, : self._rotated], heads[:, self._rotated :]
        if self._rows is not None:
            self._rows.rotate(heads, self._rotated, step.cos, step.sin)
        else:
            turned = qk.roll(self._head_dim // 2, -1)
            qk = torch.addcmul(qk * step.cos, turned, step.sin)
        return step.inputs.attention.attend(
            self._index,
            qk[:, : self._queries],
            qk[:, self._queries :],
            v,
            scaling=self._scaling,
            window=self._window,
        ).reshape(qkv.shape[0], -1)
