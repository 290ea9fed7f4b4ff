"""Packs: what vLLM computes a linear layer with on a CPU, and how one is exchanged.

It packs a weight once, after loading, into a closure of the layer's; compiled code
keeps the tensor in there, which for oneDNN is only the pack's address. So that tensor
is written, and the layer's own method makes what it says.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from vllm.model_executor.layers.vocab_parallel_embedding import (
    ParallelLMHead,
    VocabParallelEmbedding,
)


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """`tensor`: the pack's address, or the pack. `owner`: sets it free when it goes."""

    tensor: torch.Tensor
    owner: Any


def is_packed(module: nn.Module) -> bool:
    """Whether it computes with something else than its weight. An embedding, which is
    packed as well, looks tokens up in its weight."""
    if isinstance(module, VocabParallelEmbedding):
        return isinstance(module, ParallelLMHead) and _has_closure(module)
    return _has_closure(module)


def _has_closure(module: nn.Module) -> bool:
    return bool(getattr(getattr(module, "cpu_linear", None), "__closure__", None))


def live_pack(module: nn.Module) -> tuple[Pack, Pack]:
    """What `module` computes with, to be written from now on, and what is in it now."""
    owner, live = _in_closure(module), _tensor(_in_closure(module))
    if owner is live:
        return Pack(live, None), Pack(live.clone(), None)
    golden = type(owner)()
    golden.handler_tensor = live.clone()
    owner.dtor = _nothing  # else what it shows at last were set free twice
    return Pack(live, owner), Pack(golden.handler_tensor, golden)


def packed(module: nn.Module, weight: torch.Tensor) -> Pack:
    """`weight` [out, in] as the layer packs its own. The layer stays as it is."""
    own, computes = module.weight, module.cpu_linear
    try:
        module.weight = nn.Parameter(weight, requires_grad=False)
        module.quant_method.process_weights_after_loading(module)  # type: ignore[union-attr, operator]
        owner = _in_closure(module)
    finally:
        module.weight, module.cpu_linear = own, computes
    return Pack(_tensor(owner), owner)


def _in_closure(module: nn.Module) -> Any:
    for cell in module.cpu_linear.__closure__:  # type: ignore[union-attr]
        content = cell.cell_contents
        if isinstance(content, torch.Tensor) or hasattr(content, "handler_tensor"):
            return content
    raise TypeError(f"{type(module).__name__} packs its weight in a way not known here")


def _tensor(owner: Any) -> torch.Tensor:
    tensor = owner if isinstance(owner, torch.Tensor) else owner.handler_tensor
    assert isinstance(tensor, torch.Tensor)
    return tensor


def _nothing(address: int) -> None: ...
