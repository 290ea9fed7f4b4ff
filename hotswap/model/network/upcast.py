"""Upcast: a model's own modules, computing in float32 with weights of 16 bits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def computing_in(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Within it each module that runs has its own parameters in `dtype`, and no longer
    than it runs: a copy of the whole model is never there. Mutates what it restores."""
    kept: dict[nn.Parameter, torch.Tensor] = {}

    def before(module: nn.Module, _: object) -> None:
        for parameter in module.parameters(recurse=False):
            kept[parameter] = parameter.data
            parameter.data = parameter.data.to(dtype)

    def after(module: nn.Module, *_: object) -> None:
        for parameter in module.parameters(recurse=False):
            parameter.data = kept.pop(parameter)

    with ExitStack() as hooks:
        for module in model.modules():
            own = {parameter.dtype for parameter in module.parameters(recurse=False)}
            if own - {dtype}:
                hooks.enter_context(module.register_forward_pre_hook(before))
                hooks.enter_context(
                    module.register_forward_hook(after, always_call=True)
                )
        yield
