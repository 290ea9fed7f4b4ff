"""Stacked: the linear layers of one input as one weight, each in memory once."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True, slots=True)
class Stacked:
    """`parts`: which rows of the output each module makes, by path."""

    weight: Tensor  # [out, in]
    bias: Tensor | None  # [out], zero where a module has none; None if none has one
    parts: dict[str, slice]


@torch.no_grad()
def stacked(modules: Mapping[str, nn.Module]) -> Stacked:
    """The modules' weights under each other; of a single `nn.Linear` its own.

    Mutates the modules: their parameters become views of what is returned. Else golden
    would lie in memory once as loaded and once as it is computed with.
    """
    weights = {path: _weight(module) for path, module in modules.items()}
    parts, start = {}, 0
    for path, weight in weights.items():
        parts[path] = slice(start, start + weight.shape[0])
        start += weight.shape[0]
    whole = _joined(list(weights.values()))
    bias = _bias(modules, weights)
    for path, rows in parts.items():
        module = modules[path]
        view = whole[rows].t() if isinstance(module, Conv1D) else whole[rows]
        _parameter(module, "weight").data = view
        if bias is not None and module.bias is not None:
            _parameter(module, "bias").data = bias[rows]
    return Stacked(whole, bias, parts)


def _bias(
    modules: Mapping[str, nn.Module], weights: Mapping[str, Tensor]
) -> Tensor | None:
    if all(module.bias is None for module in modules.values()):
        return None
    return _joined(
        [
            weights[path].new_zeros(weights[path].shape[0])
            if module.bias is None
            else _parameter(module, "bias").detach()
            for path, module in modules.items()
        ]
    )


def _weight(module: nn.Module) -> Tensor:
    """[out, in]."""
    weight = _parameter(module, "weight").detach()
    return weight.t().contiguous() if isinstance(module, Conv1D) else weight


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _parameter(module: nn.Module, name: str) -> nn.Parameter:
    parameter = getattr(module, name)
    assert isinstance(parameter, nn.Parameter)
    return parameter
