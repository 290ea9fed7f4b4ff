"""Linear: a linear layer whose weight can be pointed elsewhere, with adapters beside.

It replaces every `nn.Linear` (weight [out, in]) and GPT-2 `Conv1D` (weight [in, out])
of a loaded model. `weight` is what `Weights` last pointed it to; `beside`, shared by
all layers of a model, says which rows of the current step run with an adapter of
their own. Knows no slots and no jobs.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from hotswap.adapters.deltas import Generation

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows [start, stop) of a step run with `factors`: module -> (A^T, scale B^T)."""

    start: int
    stop: int
    factors: Factors


class Beside:
    """The adapters of the current mixed step. Empty between steps.

    `tokens` are segments over the token rows of the step, `logits` over the rows that
    the output head sees. Factors are cast once for each generation and kept until
    `forget`.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.tokens: tuple[Segment, ...] = ()
        self.logits: tuple[Segment, ...] = ()
        self._dtype = dtype
        self._device = device
        self._resident: dict[str, Factors] = {}

    def factors(self, generation: Generation) -> Factors:
        """A^T [in, rank] and scale B^T [rank, out] in the model's dtype."""
        held = self._resident.get(generation.key)
        if held is None:
            held = {}
            for module, delta in generation.deltas.items():
                a = delta.a.to(self._device, self._dtype).t().contiguous()
                b = (delta.b.float() * delta.scale).to(self._device, self._dtype)
                held[module] = a, b.t().contiguous()
            self._resident[generation.key] = held
        return held

    def forget(self, key: str) -> None:
        self._resident.pop(key, None)

    @contextmanager
    def step(
        self, tokens: Iterable[Segment], logits: Iterable[Segment]
    ) -> Iterator[None]:
        """Run one forward pass with these segments."""
        self.tokens, self.logits = tuple(tokens), tuple(logits)
        try:
            yield
        finally:
            self.tokens = self.logits = ()


class Linear(nn.Module):
    def __init__(
        self, path: str, source: nn.Module, beside: Beside, *, is_head: bool
    ) -> None:
        super().__init__()
        self.path = path
        self.is_conv1d = isinstance(source, Conv1D)
        # Plain tensors: a Parameter could not be re-pointed as cheaply.
        self.weight: torch.Tensor = _data(source.weight)
        self.bias = None if source.bias is None else _data(source.bias)
        self._beside = beside
        self._is_head = is_head

    @property
    def shape(self) -> tuple[int, int]:
        """[out, in], whatever the layout of the weight."""
        rows, columns = self.weight.shape
        return (columns, rows) if self.is_conv1d else (rows, columns)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.t() if self.is_conv1d else self.weight
        y = F.linear(x, weight, self.bias)
        segments = self._beside.logits if self._is_head else self._beside.tokens
        if segments:
            self._add_beside(x, y, segments)
        return y

    def _add_beside(
        self, x: torch.Tensor, y: torch.Tensor, segments: tuple[Segment, ...]
    ) -> None:
        rows, out = x.reshape(-1, x.shape[-1]), y.view(-1, y.shape[-1])
        # A layer that sees other rows than the step's would get a wrong adapter.
        assert rows.shape[0] == segments[-1].stop, f"{self.path}: rows are not tokens"
        for segment in segments:
            factors = segment.factors.get(self.path)
            if factors is not None:
                part = slice(segment.start, segment.stop)
                out[part] += (rows[part] @ factors[0]) @ factors[1]


def replace_linears(model: nn.Module, beside: Beside) -> dict[str, Linear]:
    """Put a `Linear` in the place of every mergeable module. Mutates `model`."""
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter else None
    found: dict[str, Linear] = {}
    for path, module in list(model.named_modules()):
        # Exact types: a subclass (quantised, sharded) may compute something else.
        if type(module) is nn.Linear or type(module) is Conv1D:
            parent, _, name = path.rpartition(".")
            linear = Linear(path, module, beside, is_head=module is head)
            setattr(model.get_submodule(parent), name, linear)
            found[path] = linear
    return found


def _data(tensor: torch.Tensor | nn.Module) -> torch.Tensor:
    assert isinstance(tensor, torch.Tensor)
    return tensor.detach()
