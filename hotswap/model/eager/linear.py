"""Linear: linear layers of one input, as one weight that can be pointed elsewhere.

It takes the place of one `nn.Linear` (weight [out, in]) or GPT-2 `Conv1D` (weight
[in, out]), or of several that share their input, stacked along the outputs. `weight`
and `bias` are what `Weights` last pointed it to, the weight as the kernels packed it:
golden, or what `build` merged, `W0 + scale B A`. In a mixed step its `LoraStack` adds
to golden's output what the rows' own adapters make of the input. Knows no slots.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from hotswap.adapters.generation import Generation
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.merge import merge
from hotswap.model.eager.packed_merge import blocks_of, merge_packed
from hotswap.model.machine.device import Device
from hotswap.model.machine.kernels import Kernels
from hotswap.model.weights.mergeable import head_of, is_mergeable
from hotswap.model.weights.stacked import stacked


@dataclass(frozen=True, slots=True)
class LinearTensors:
    """What a Linear computes with: [out, in] as packed, and [out] or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None


class Linear(nn.Module):
    """`parts`: which rows of the output each module makes. `golden` is [out, in]; the
    parameters of the `modules` become views of it."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        kernels: Kernels,
        lora: BatchedLora,
        *,
        is_head: bool = False,
    ) -> None:
        super().__init__()
        made = stacked(modules)
        self.parts = made.parts
        # Plain tensors: a Parameter could not be re-pointed as cheaply.
        self.golden, self._bias = made.weight, made.bias
        self._golden: LinearTensors | None = LinearTensors(
            kernels.pack(self.golden), self._bias
        )
        self.weight, self.bias = self._golden.weight, self._bias
        # Golden's shape and type where the model computes, of no memory
        self._form = self.golden.new_empty(()).expand(self.golden.shape)
        self._is_turned = {p: isinstance(m, Conv1D) for p, m in modules.items()}
        self.lora = lora
        self._kernels = kernels
        self._stack = lora.stack(self.parts, is_head=is_head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the module it replaces, on any leading dimensions."""
        y = self.rows(x.reshape(-1, x.shape[-1]))
        return y.view(*x.shape[:-1], y.shape[-1])

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """Wx + b: [rows, in] -> [rows, out]."""
        return self._stack.add_to(self._kernels.linear(x, self.weight, self.bias), x)

    def silu(self, x: torch.Tensor) -> torch.Tensor:
        """silu(Wx + b)."""
        if self._stack.is_active:
            y = self._kernels.linear(x, self.weight, self.bias)
            return self._stack.add_silu(y, x)
        return self._kernels.linear_silu(x, self.weight, self.bias)

    def mul(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """(Wx + b) * other."""
        if self._stack.is_active:
            y = self._kernels.linear(x, self.weight, self.bias)
            return self._stack.add_mul(y, x, other)
        return self._kernels.linear_mul(x, self.weight, self.bias, other)

    def add(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Wx + b + other."""
        y = self._kernels.linear_add(x, self.weight, self.bias, other)
        return self._stack.add_to(y, x)

    @property
    def has_golden(self) -> bool:
        """Whether it can be pointed to golden."""
        return self._golden is not None

    def leave(self, device: Device) -> None:
        """Move golden to host memory. From now on it computes with slots alone, and not
        before it is pointed to the first."""
        self.golden = device.kept(self.golden)
        self.weight, self._golden = torch.empty(0), None

    @property
    def golden_tensors(self) -> list[torch.Tensor]:
        """Golden as loaded, and as packed."""
        packed = self._golden.weight if self._golden else None
        every = (self.golden, packed, self._bias)
        return [tensor for tensor in every if tensor is not None]

    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]:
        """The parameters of one part, in its module's orientation. Never written."""
        rows, bias = self.parts[path], self._bias
        weight = self.golden[rows]
        found = {"weight": weight.t() if self._is_turned[path] else weight}
        return found if bias is None else {**found, "bias": bias[rows]}

    def allocate(self) -> None:
        """A kernel's packed weight is new memory each time."""

    @torch.no_grad()
    def build(
        self, generation: Generation, before: LinearTensors | None, device: Device
    ) -> LinearTensors:
        """Golden with the adapter merged, rounded once. May use the memory of `before`.

        Each part depends on golden and the adapter alone.
        """
        if (packed := self._build_packed(generation, before)) is not None:
            return packed
        out = self._kernels.buffer(self._form, before.weight if before else None)
        bias = self._bias
        for path, rows in self.parts.items():
            golden, target = self.golden[rows], out[rows]
            if path in generation.deltas:
                merge(golden, generation.deltas[path], target, device)
                continue
            rewrite = generation.rewrites.get(path)
            made = rewrite(self.golden_of(path)) if rewrite else {}
            weight = made.get("weight", golden)
            if rewrite and "weight" in made and self._is_turned[path]:
                weight = weight.t()
            if weight.shape != target.shape:  # a head with tokens added
                assert len(self.parts) == 1, "a stacked module changed its shape"
                out = target = self._form.new_empty(weight.shape)
            target.copy_(weight, non_blocking=True)
            if "bias" in made:
                bias = self._with_bias(bias, rows, made["bias"], out.shape[0])
        return LinearTensors(self._kernels.pack(out), bias)

    def _build_packed(
        self, generation: Generation, before: LinearTensors | None
    ) -> LinearTensors | None:
        """The same straight from golden as packed, where that can be done."""
        if self._golden is None or not generation.rewrites.keys().isdisjoint(
            self.parts
        ):
            return None
        golden = blocks_of(self._golden.weight, self._kernels)
        if golden is None or any(
            rows.start % golden.shape[2] for rows in self.parts.values()
        ):
            return None
        if before is not None and before.weight.shape == self._form.shape:
            packed = before.weight
        else:
            packed = self._kernels.pack(self.golden)
        out = blocks_of(packed, self._kernels)
        if out is None or out.shape != golden.shape:
            return None
        for path, rows in self.parts.items():
            block = golden.shape[2]
            part = slice(rows.start // block, rows.stop // block)
            if path in generation.deltas:
                delta = generation.deltas[path]
                merge_packed(golden[part], delta, out[part], self._kernels)
            else:
                out[part].copy_(golden[part])
        return LinearTensors(packed, self._bias)

    def point(self, tensors: LinearTensors | None) -> None:
        """To a slot's content, or (None) to golden."""
        tensors = tensors or self._golden
        assert tensors is not None, "golden is not where the model computes"
        # Plain tensors. Module's own way to set them is most of a warm swap.
        self.__dict__.update(weight=tensors.weight, bias=tensors.bias)

    def _with_bias(
        self, bias: torch.Tensor | None, rows: slice, made: torch.Tensor, size: int
    ) -> torch.Tensor:
        """`bias` (None: zeros) with one part's replaced; new memory."""
        whole = self._form.new_zeros(size)
        if bias is not None and bias.shape == whole.shape:
            whole.copy_(bias)
        whole[rows if made.shape[0] != size else slice(None)] = made.to(whole)
        return whole


def replace_linears(
    model: nn.Module, lora: BatchedLora, kernels: Kernels
) -> list[Linear]:
    """Put a `Linear` in the place of every mergeable module. Mutates `model`."""
    found = []
    head = head_of(model)
    for path, module in list(model.named_modules()):
        if is_mergeable(module):
            parent, _, name = path.rpartition(".")
            linear = Linear({path: module}, kernels, lora, is_head=module is head)
            setattr(model.get_submodule(parent), name, linear)
            found.append(linear)
    return found
