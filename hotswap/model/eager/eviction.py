"""Eviction: golden leaves the memory that the model computes in, for host memory.

From then on each layer computes with slots alone, and the model that was loaded is a
skeleton: whoever still held its parameters finds hollow ones.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from transformers import PreTrainedModel

from hotswap.adapters.layout import hollow
from hotswap.model.eager.linear import Linear
from hotswap.model.machine.device import Device

log = logging.getLogger(__name__)


class Leaving(Protocol):
    @property
    def parts(self) -> Mapping[str, slice]: ...
    def leave(self, device: Device) -> None: ...


def evict_golden(
    linears: Sequence[Leaving], model: PreTrainedModel, device: Device
) -> None:
    """Mutates the layers, and the modules of `model` that they were made from."""
    log.warning("golden leaves the device: no slot fits beside it")
    for linear in linears:
        linear.leave(device)
        for path in linear.parts:
            module = model.get_submodule(path)
            if not isinstance(module, Linear):  # it stands beside the layer
                for name, parameter in module.named_parameters(recurse=False):
                    setattr(module, name, hollow(parameter.shape))
