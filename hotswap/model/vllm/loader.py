"""Loader: vLLM's own, watched, and golden kept of what adapters may change.

Importing this registers it as the load format of that name, in whichever process.
"""

import copy
from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn
from vllm.config import ModelConfig
from vllm.config.load import LoadConfig
from vllm.model_executor.layers.linear import LinearBase
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from hotswap.model.vllm.placements import Placement, WatchedCopies

FORMAT = "hotswap"
_PLACE = "hotswap_parameters"


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A parameter of `module`. `golden`: a copy of it as it was loaded, before vLLM
    packs it: of a linear layer where it computes, of others in host memory."""

    module: nn.Module
    name: str
    placements: tuple[Placement, ...]
    golden: torch.Tensor


def loaded_parameters(model: nn.Module) -> list[Loaded]:
    """Of a model that was loaded in this format: those that have placements."""
    found: list[Loaded] = getattr(model, _PLACE)
    return found


@register_model_loader(FORMAT)
class WatchingLoader(DefaultModelLoader):
    """No pickle: safetensors only."""

    def __init__(self, load_config: LoadConfig) -> None:
        plain = copy.copy(load_config)
        plain.load_format = "safetensors"
        super().__init__(plain)
        self._watched: WatchedCopies | None = None

    def get_all_weights(self, model_config: ModelConfig, model: nn.Module):  # type: ignore[no-untyped-def]
        weights = super().get_all_weights(model_config, model)
        return weights if self._watched is None else self._watched.told(weights)

    def load_weights(self, model: nn.Module, model_config: ModelConfig) -> None:
        parameters = dict(model.named_parameters())
        shared = _shared(model)
        self._watched = WatchedCopies(parameters)
        with self._watched:
            super().load_weights(model, model_config)
        kept = []
        for path, placements in self._watched.placements.items():
            module, _, name = path.rpartition(".")
            parameter, owner = parameters[path], model.get_submodule(module)
            if (
                path in self._watched.doubtful
                or id(parameter) in shared
                or not parameter.is_contiguous()
            ):
                continue
            is_linear = isinstance(owner, LinearBase | ParallelLMHead)
            where = parameter.device if is_linear else torch.device("cpu")
            golden = parameter.detach().to(where, copy=True)
            kept.append(Loaded(owner, name, tuple(placements), golden))
        setattr(model, _PLACE, kept)


def _shared(model: nn.Module) -> set[int]:
    """Ids of the parameters that more than one module has: a tied head cannot be
    another than the embedding."""
    every = [id(p) for _, p in model.named_parameters(remove_duplicate=False)]
    return {each for each, count in Counter(every).items() if count > 1}
