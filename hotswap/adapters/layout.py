"""Layout: what an adapter has to fit - the base model's modules, without its weights.

The skeleton is the model itself on hollow weights: right in class, name and shape, but
of no memory. PEFT builds its layers on a copy of it, so that it is PEFT that decides
what an adapter means.
"""

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`linear`: [out, in] of each linear module; `others`: the paths of all others.

    `golden`: the parameters of each module that has any, by name, in the module's own
    orientation. Never written. `base`: what the model is called. `stream`: of those who
    read golden on a CUDA device, one for all: torch has 32 in turns, and another's
    may be the one that a graph is captured on.
    """

    linear: Mapping[str, tuple[int, int]]
    others: frozenset[str]
    skeleton: PreTrainedModel
    golden: Mapping[str, Mapping[str, torch.Tensor]] = field(repr=False)
    base: str = ""
    stream: torch.cuda.Stream | None = None

    def beside_steps(self) -> AbstractContextManager[object]:
        """Within it, what a thread asks of golden's device is queued beside the steps:
        it waits for none of them, and none waits for it."""
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def matrix(self, path: str) -> torch.Tensor:
        """Golden of a linear module, seen as [out, in]."""
        weight = self.golden[path]["weight"]
        return weight.t() if self.is_turned(path) else weight

    def is_turned(self, path: str) -> bool:
        """Whether a module has its weight as [in, out]."""
        return isinstance(self.skeleton.get_submodule(path), Conv1D)


def hollowed(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model with every parameter hollow; ties are kept."""
    parameters = {id(p): hollow(p.shape) for p in model.parameters()}
    buffers: dict[int, object] = {id(b): b for b in model.buffers()}
    made = copy.deepcopy(model, {**buffers, **parameters})
    made.requires_grad_(False)
    return made


def duplicate(skeleton: PreTrainedModel) -> PreTrainedModel:
    """A copy to build on: new modules, and the same tensors."""
    tensors = chain(skeleton.parameters(), skeleton.buffers())
    return copy.deepcopy(skeleton, {id(t): t for t in tensors})


def is_hollow(tensor: torch.Tensor) -> bool:
    """Whether it stands for a weight that is not there."""
    return tensor.dim() > 0 and not any(tensor.stride()) and tensor.numel() != 1


def hollow(shape: torch.Size | tuple[int, ...]) -> nn.Parameter:
    """A hollow parameter: zeros in float32, so that PEFT keeps that precision."""
    return nn.Parameter(torch.zeros(()).expand(shape), requires_grad=False)
