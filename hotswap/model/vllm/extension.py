"""Extension: what each of vLLM's workers does for us, by remote procedure call.

vLLM mixes `WorkerExtension` into its own worker's class; the names begin with ours so
that none of vLLM's is hidden.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hotswap.adapters.generation import Generation
from hotswap.errors import MergeFailed
from hotswap.model.machine.device import device_of
from hotswap.model.vllm.loader import loaded_parameters
from hotswap.model.vllm.parameters import parameter_of
from hotswap.model.weights.weights import Weights
from scheduler import Swap


@dataclass(frozen=True, slots=True)
class WeightsState:
    """`failed`: why it could not be made resident, in words; "" if it is."""

    resident: str
    warm: frozenset[str]
    swap: Swap | None = None
    built_s: float | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """`tensors`: of the checkpoint, that have a place in this rank's parameters.
    `golden_bytes`: of the copies; `slot_bytes`: of one slot."""

    tensors: frozenset[str]
    golden_bytes: int
    slot_bytes: int


class WorkerExtension:
    """Mixed into a worker of vLLM's, which has `model_runner`."""

    model_runner: Any
    hotswap_weights: Weights

    def hotswap_placed(self) -> Placed:
        """Take over the parameters that adapters may change. First of all, once."""
        model = self.model_runner.get_model()
        every = [parameter_of(loaded) for loaded in loaded_parameters(model)]
        self._hotswap_parameters = every
        self._hotswap_device = device_of(next(model.parameters()).device)
        return Placed(
            tensors=frozenset(name for each in every for name in each.tensors),
            golden_bytes=sum(t.nbytes for each in every for t in each.golden_tensors),
            slot_bytes=sum(each.slot_bytes for each in every),
        )

    def hotswap_begin(self, slots: int) -> None:
        """Then."""
        self.hotswap_weights = Weights(
            self._hotswap_parameters, slots, self._hotswap_device
        )

    def hotswap_activate(self, generation: Generation | None) -> WeightsState:
        weights, begun_s = self.hotswap_weights, time.perf_counter()
        try:
            with torch.inference_mode():
                swap = weights.activate(generation)
            self._hotswap_device.finish()  # the swap's time is not the next step's
        except MergeFailed as error:
            return WeightsState(weights.resident, weights.warm, failed=str(error))
        if swap is not None:
            swap = Swap(warm=swap.warm, seconds=time.perf_counter() - begun_s)
        return WeightsState(weights.resident, weights.warm, swap)

    def hotswap_build_ahead(
        self, generation: Generation, budget_s: float
    ) -> WeightsState:
        weights, built_s = self.hotswap_weights, None
        try:
            with torch.inference_mode():
                built_s = weights.build_ahead(generation, budget_s)
        except MergeFailed as error:
            return WeightsState(weights.resident, weights.warm, failed=str(error))
        return WeightsState(weights.resident, weights.warm, built_s=built_s)

    def hotswap_forget(self, key: str) -> WeightsState:
        weights = self.hotswap_weights
        weights.forget(key)
        return WeightsState(weights.resident, weights.warm)

    def hotswap_pin(self, keys: frozenset[str]) -> None:
        self.hotswap_weights.pinned = keys

    def hotswap_checksum(self) -> str:
        """Of this rank's golden."""
        return self.hotswap_weights.checksum()


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A rewrite that has been made: the parameters, whole."""

    parameters: Mapping[str, torch.Tensor]
    rank: int = 0

    @property
    def tensors(self) -> list[torch.Tensor]:
        return list(self.parameters.values())

    def is_difference(self, golden: Mapping[str, torch.Tensor]) -> bool:
        return False

    def __call__(
        self, golden: Mapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        return self.parameters
