"""GpuLinear: linear layers of one input, stacked, in memory that never moves.

A slot has memory of its own for each layer, allocated once: a merge writes there, and a
graph that was captured with the slot reads there. Golden is held once: the modules that
were stacked become views of the stack. Not yet run on a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from hotswap.adapters.generation import Generation
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.gpu.lora_layer import LoraLayer, LoraShape
from hotswap.model.machine.device import Device
from hotswap.model.weights.stacked import stacked


@dataclass(frozen=True, slots=True, eq=False)
class LinearTensors:
    """[out, in], and [out] or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None


class GpuLinear:
    """A Swappable. `parts`: which rows of the output each module makes. `golden` is
    [out, in]. `lora` adds the rows' own adapters in a mixed step."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        kernels: Kernels,
        *,
        is_head: bool = False,
    ) -> None:
        made = stacked(modules)
        self.parts = made.parts
        self.golden, self._bias = made.weight, made.bias
        self.has_golden = True
        self.weight, self.bias = self.golden, self._bias
        # Golden's shape and type where the model computes, of no memory
        self._form = self.golden.new_empty(()).expand(self.golden.shape)
        self._kernels = kernels
        self.shape = LoraShape(self.parts, self.golden.shape[1], is_head)
        self.lora: LoraLayer | None = None

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """Wx + b: [rows, in] -> [rows, out]."""
        return self._with_lora(F.linear(x, self.weight, self.bias), x)

    def add(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Wx + b + other, written into `other` [rows, out]."""
        if self.bias is not None:
            other.add_(self.bias)
        # The sum is part of the product: rounded once, no pass of its own.
        return self._with_lora(other.addmm_(x, self.weight.t()), x)

    def _with_lora(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return y if self.lora is None else self.lora.add_to(y, x)

    def leave(self, device: Device) -> None:
        """Move golden to host memory. From now on it computes with slots alone, and not
        before it is pointed to the first."""
        self.golden = device.kept(self.golden)
        self.has_golden, self.weight = False, torch.empty(0)

    @property
    def golden_tensors(self) -> list[torch.Tensor]:
        return [t for t in (self.golden, self._bias) if t is not None]

    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]:
        """The parameters of one part. Never written."""
        rows, bias = self.parts[path], self._bias
        found = {"weight": self.golden[rows]}
        return found if bias is None else {**found, "bias": bias[rows]}

    def allocate(self) -> LinearTensors:
        """Memory that one slot keeps for this layer."""
        bias = None if self._bias is None else torch.empty_like(self._bias)
        return LinearTensors(self._form.new_empty(self._form.shape), bias)

    @torch.no_grad()
    def build(
        self, generation: Generation, before: LinearTensors | None, device: Device
    ) -> LinearTensors:
        """Golden with the adapter merged, rounded once: in `before` if that fits.

        Each part depends on golden and the adapter alone.
        """
        fits = before is not None and before.weight.shape == self._form.shape
        out = before if fits and before is not None else self.allocate()
        self._merge(generation, out.weight, device)
        if out.bias is not None and self._bias is not None:
            out.bias.copy_(self._bias)
        for path, rows in self.parts.items():
            if path in generation.rewrites:
                made = generation.rewrites[path](self.golden_of(path))
                out = self._rewritten(out, rows, made)
        return out

    def _merge(self, generation: Generation, out: torch.Tensor, device: Device) -> None:
        updates = [
            (rows, device.sent(delta.a), device.sent(delta.b), delta.scale)
            for path, rows in self.parts.items()
            if (delta := generation.deltas.get(path)) is not None
        ]
        golden = self.golden
        if golden.device != out.device:
            out.copy_(golden, non_blocking=True)
            golden = out
        self._kernels.merge(golden, updates, out)

    def _rewritten(
        self, content: LinearTensors, rows: slice, made: Mapping[str, torch.Tensor]
    ) -> LinearTensors:
        """`content` with what an adapter makes of one part; new memory where its shapes
        are others: no graph reads it then."""
        out, bias = content.weight, content.bias
        weight = made.get("weight")
        if weight is not None and weight.shape == out[rows].shape:
            out[rows].copy_(weight, non_blocking=True)
        elif weight is not None:  # a head with tokens added
            assert len(self.parts) == 1, "a stacked module changed its shape"
            out = weight.to(out.device, out.dtype, copy=True)
        if (own := made.get("bias")) is not None:
            whole = own.shape[0] == out.shape[0]
            if bias is None or bias.shape[0] != out.shape[0]:
                bias = out.new_zeros(out.shape[0])
            bias[slice(None) if whole else rows].copy_(own, non_blocking=True)
        same = out is content.weight and bias is content.bias
        return content if same else LinearTensors(out, bias)

    def point(self, tensors: LinearTensors | None) -> None:
        """To a slot's content, or (None) to golden."""
        assert tensors is not None or self.has_golden, "golden has left"
        self.weight = tensors.weight if tensors else self.golden
        self.bias = tensors.bias if tensors else self._bias
