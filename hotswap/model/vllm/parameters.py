"""Parameters: those of vLLM that adapters change, as `Weights` points them.

Compiled code and graphs have the address of what they compute with, so it never moves:
what a parameter is pointed to is written where it lies. On a CPU vLLM packs weights for
its kernels, and then it is the pack that is exchanged.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.eager.merge import merge
from hotswap.model.machine.device import Device, Host
from hotswap.model.vllm.loader import Loaded
from hotswap.model.vllm.packs import Pack, is_packed, live_pack, packed
from hotswap.model.vllm.placements import Placement


class _Here(Host):
    """Factors lie where the weights are; a launch costs more than a cache saves."""

    tile_bytes = 64 << 20


class _Parameter:
    """One, of this rank."""

    has_golden = True

    def __init__(self, loaded: Loaded) -> None:
        self.parts = {place.module: slice(None) for place in loaded.placements}
        self.tensors = {place.tensor for place in loaded.placements}
        self._loaded = loaded

    @property
    def golden_tensors(self) -> list[torch.Tensor]:
        return [self._loaded.golden]

    def allocate(self) -> None:
        """A slot has memory for it when it must."""

    def _write(
        self, updates: Sequence["_Update"], out: torch.Tensor, device: Device
    ) -> None:
        """Golden and the updates, each rounded once. Mutates `out`."""
        golden = self._loaded.golden
        if sum(math.prod(place.place.size) for place, _ in updates) < out.numel():
            out.copy_(golden)
        for place, update in updates:
            there = place.place.of(out)
            if isinstance(update, Delta):
                merge(place.place.of(golden), update, there, device)
            else:
                there.copy_(update)


class PlainParameter(_Parameter):
    """Computed with as it is. A slot holds what an adapter adds, in the memory that is
    computed in: to merge that is one pass over the weights, as a copy would be."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        parameter: torch.Tensor = getattr(loaded.module, loaded.name)
        self._live = parameter.detach()
        self._device = _Here() if parameter.is_cuda else Host()

    @property
    def slot_bytes(self) -> int:
        return 0  # factors are small

    def build(
        self, generation: Generation, before: Any, device: Device
    ) -> list["_Update"]:
        sent: list[_Update] = []
        for place, update in _updates(self._loaded, generation):
            if isinstance(update, Delta):
                a, b = device.sent(update.a), device.sent(update.b)
                sent.append((place, Delta(a=a, b=b, scale=update.scale)))
            else:
                sent.append((place, device.sent(update)))
        return sent

    def point(self, content: list["_Update"] | None) -> None:
        self._write(content or (), self._live, self._device)


class PackedParameter(_Parameter):
    """A CPU's linear layer: a slot holds it merged and packed."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        self._live, self._golden = live_pack(loaded.module)
        self._scratch = torch.empty_like(loaded.golden)

    @property
    def slot_bytes(self) -> int:
        return self._loaded.golden.nbytes

    def build(self, generation: Generation, before: Any, device: Device) -> Pack:
        self._write(_updates(self._loaded, generation), self._scratch, device)
        return packed(self._loaded.module, self._scratch)

    def point(self, content: Pack | None) -> None:
        self._live.tensor.copy_((content or self._golden).tensor)


_Update = tuple[Placement, Delta | torch.Tensor]
"""What is added to a place, or stands there in golden's stead, cut for it."""


def parameter_of(loaded: Loaded) -> PlainParameter | PackedParameter:
    if loaded.name == "weight" and is_packed(loaded.module):
        return PackedParameter(loaded)
    return PlainParameter(loaded)


def _updates(loaded: Loaded, generation: Generation) -> list[_Update]:
    """Of a generation whose rewrites have been made: see `Made`."""
    found: list[_Update] = []
    for place in loaded.placements:
        delta = generation.deltas.get(place.module)
        rewrite = generation.rewrites.get(place.module)
        if delta is not None and place.name == "weight":
            cut = Delta(
                a=delta.a[:, place.columns], b=delta.b[place.rows], scale=delta.scale
            )
            found.append((place, cut))
        elif rewrite is not None and place.name in (made := rewrite({})):
            found.append((place, place.part.of(made[place.name].contiguous())))
    return found
