"""AdapterLayout: what the adapters of a model have to fit, by its layers."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from transformers import PreTrainedModel

from hotswap.adapters.layout import Layout
from hotswap.model.weights.slots import Swappable


class Described(Swappable, Protocol):
    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]:
        """The parameters of one of its modules, by name. Never written."""


class Stacked(Described, Protocol):
    """A linear layer; `golden` [out, in] of all its parts."""

    @property
    def golden(self) -> torch.Tensor: ...


def adapter_layout(
    base: str,
    skeleton: PreTrainedModel,
    linears: Sequence[Stacked],
    others: Sequence[Described],
) -> Layout:
    """`skeleton`: the model as it was loaded, hollow."""
    shapes = {
        path: (rows.stop - rows.start, linear.golden.shape[1])
        for linear in linears
        for path, rows in linear.parts.items()
    }
    every: list[Described] = [*linears, *others]
    modules = (path for path, _ in skeleton.named_modules() if path)
    return Layout(
        linear=shapes,
        others=frozenset(path for path in modules if path not in shapes),
        skeleton=skeleton,
        golden={path: p.golden_of(path) for p in every for path in p.parts},
        base=base,
        stream=_stream_for(every),
    )


def _stream_for(every: Sequence[Described]) -> torch.cuda.Stream | None:
    """One that begins when golden is there."""
    for swappable in every:
        for tensor in swappable.golden_tensors:
            if tensor.is_cuda:
                stream = torch.cuda.Stream(tensor.device)
                stream.wait_stream(torch.cuda.current_stream(tensor.device))
                return stream
    return None
