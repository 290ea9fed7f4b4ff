"""OtherParameters: those of a module that is not linear - an embedding, a norm.

A slot may hold others in their place; they are pointed to as a Linear's weight is.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from hotswap.adapters.generation import Generation
from hotswap.model.machine.device import Device
from hotswap.model.weights.slots import Swappable


class OtherParameters:
    """Whoever computes with the parameters has to keep the `nn.Parameter`s."""

    has_golden = True

    def __init__(self, path: str, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parts = {path: slice(None)}
        self._path = path
        self._parameters = dict(parameters)
        # Tensors of their own on the same memory: pointing does not change them.
        self._golden = {name: p.detach() for name, p in parameters.items()}

    @property
    def golden_tensors(self) -> list[torch.Tensor]:
        return list(self._golden.values())

    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]:
        """The module's parameters by name. Never written."""
        return self._golden

    def allocate(self) -> None:
        """Few adapters touch one: a slot has memory for it when it must."""

    def build(
        self,
        generation: Generation,
        before: Mapping[str, torch.Tensor] | None,
        device: Device,
    ) -> dict[str, torch.Tensor]:
        """The parameters as the adapter makes them, rounded once."""
        made = generation.rewrites[self._path](self._golden)
        content = {}
        for name, value in made.items():
            golden = self._golden[name]
            content[name] = value.to(golden.device, golden.dtype, copy=True)
        return content

    def point(self, content: Mapping[str, torch.Tensor] | None) -> None:
        """To a slot's content, or (None) to golden. Mutates the parameters."""
        for name, parameter in self._parameters.items():
            parameter.data = (content or self._golden).get(name, self._golden[name])


def other_parameters(
    model: nn.Module, linears: Sequence[Swappable]
) -> list[OtherParameters]:
    """Every module of the model with parameters of its own that are in no Linear."""
    taken = {path for linear in linears for path in linear.parts}
    return [
        OtherParameters(path, own)
        for path, own in _own_parameters(model)
        if path not in taken
    ]


def _own_parameters(
    model: nn.Module,
) -> Iterator[tuple[str, dict[str, nn.Parameter]]]:
    for path, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if own:
            yield path, own
