"""Rewrites: a module's parameters from PEFT's own merge, or straight from the file."""

import copy
from collections.abc import Mapping, Sequence

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from hotswap.adapters.layout import is_hollow
from hotswap.errors import AdapterRefused

# A large vocabulary's rows would take gigabytes.
_TOKENS = 4096


class Replaced:
    """Parameters that the file brings whole."""

    rank = 0

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self._parameters = {name: p.detach() for name, p in parameters.items()}

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        return list(self._parameters.values())

    def is_difference(self, golden: Mapping[str, torch.Tensor]) -> bool:
        return False

    def __call__(
        self, golden: Mapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        return self._parameters


class PeftMerge:
    """A layer of PEFT on hollow weights. Each merge is done on a copy of it."""

    def __init__(
        self, path: str, layer: nn.Module, tensors: Mapping[int, torch.Tensor]
    ) -> None:
        """`tensors`: by id, all that `layer` may refer to. They are never copied."""
        self._path = path
        self._layer = layer
        self._shared = tensors

    @property
    def kind(self) -> str:
        return type(_tuner(self._layer)).__qualname__

    @property
    def rank(self) -> int:
        ranks = getattr(self._layer, "r", None)
        found = ranks.get("default", 0) if isinstance(ranks, dict) else 0
        return found if isinstance(found, int) else 0

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        every = (*self._layer.parameters(), *self._layer.buffers())
        return [tensor for tensor in every if not is_hollow(tensor)]

    def is_difference(self, golden: Mapping[str, torch.Tensor]) -> bool:
        """Not if it has tokens that golden lacks, or base weights of its own."""
        own = _tuner(self._layer).get_base_layer().named_parameters(recurse=False)
        return all(
            is_hollow(parameter) and parameter.shape == golden[name].shape
            for name, parameter in own
            if name in golden
        )

    @torch.no_grad()
    def __call__(
        self, golden: Mapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        layer = self._on(golden)
        tuner = _tuner(layer)
        tuner.merge()
        merged = tuner.get_base_layer().named_parameters(recurse=False)
        return {name: parameter.detach() for name, parameter in merged}

    @torch.no_grad()
    def prove(self, golden: Mapping[str, torch.Tensor]) -> None:
        """Refuse a layer that computes something else merged than unmerged.

        Raises AdapterRefused.
        """
        layer = self._on(golden)
        tuner = _tuner(layer)
        base = tuner.get_base_layer()
        x = _probe(base)
        beside = tuner(x)
        tuner.merge()
        merged = tuner.get_base_layer()(x)
        gap, size = (beside - merged).abs().max(), beside.abs().max()
        if not bool(gap <= 1e-3 * size):  # nor if either is not finite
            raise AdapterRefused(
                "not_mergeable",
                f"{self._path}: merged it computes something else than PEFT's layer",
            )

    def _on(self, golden: Mapping[str, torch.Tensor]) -> nn.Module:
        """A copy of the layer on golden in float32. It shares the adapter's tensors."""
        device = next(iter(golden.values())).device
        memo: dict[int, object] = dict(self._shared)
        if device.type != "cpu":
            memo.update((id(t), _moved(t, device)) for t in self.tensors)
        base = _tuner(self._layer).get_base_layer()
        for name, parameter in base.named_parameters(recurse=False):
            # Fresh memory: PEFT merges in place.
            given = golden.get(name) if is_hollow(parameter) else parameter
            if given is not None and given.shape == parameter.shape:
                fresh = given.detach().to(device, torch.float32, copy=True)
            else:  # tokens were added, or golden has no bias
                fresh = torch.zeros(parameter.shape, device=device)
                if given is not None:
                    fresh[: given.shape[0]] = given
            memo[id(parameter)] = nn.Parameter(fresh, requires_grad=False)
        return copy.deepcopy(self._layer, memo)


def _tuner(layer: nn.Module) -> BaseTunerLayer:
    """The layer that merges: `trainable_token_indices` wraps it once more."""
    return layer if isinstance(layer, BaseTunerLayer) else layer.token_adapter


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    moved = tensor.detach().to(device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=False)
    return moved


def _probe(base: nn.Module) -> torch.Tensor:
    """A few rows that the module can take."""
    weight = base.weight
    assert isinstance(weight, torch.Tensor)
    if isinstance(base, nn.Embedding):
        step = max(1, weight.shape[0] // _TOKENS)
        return torch.arange(0, weight.shape[0], step, device=weight.device)
    width = weight.shape[0] if isinstance(base, Conv1D) else weight.shape[-1]
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, width, generator=random).to(weight.device)
