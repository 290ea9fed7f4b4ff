"""Placements: where vLLM put the tensors of a checkpoint, seen while it loads them.

It fuses them (q, k and v become one parameter) and cuts them for each rank, by rules of
each model and each layer. The rules are not copied here: whatever loads a model copies,
at last, a part of a checkpoint's tensor to a part of a parameter, and that is looked
at. A parameter that is written in any other way has no placements, and whoever asks
for them is refused.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# What leaves no doubt: padding is written so, before or after.
_HARMLESS = ("aten.fill_", "aten.zero_")


@dataclass(frozen=True, slots=True)
class View:
    """A part of a contiguous tensor; in elements from its first."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def seen(cls, part: torch.Tensor, whole: torch.Tensor) -> "View":
        start = (part.data_ptr() - whole.data_ptr()) // whole.element_size()
        return cls(tuple(part.shape), tuple(part.stride()), start)

    def of(self, whole: torch.Tensor) -> torch.Tensor:
        """That part; shares the memory of `whole`, which is contiguous."""
        return whole.as_strided(
            self.size, self.stride, whole.storage_offset() + self.offset
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """`part` of the checkpoint's `tensor`, of `shape`, stands at `place` in the
    parameter."""

    tensor: str
    shape: tuple[int, ...]
    part: View
    place: View

    @property
    def module(self) -> str:
        return self.tensor.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Of the tensor in its module: weight, bias."""
        return self.tensor.rpartition(".")[2]

    @property
    def is_turned(self) -> bool:
        """Whether the checkpoint has [in, out] where the parameter has [out, in]."""
        return self.part.stride[-1] != 1

    @property
    def rows(self) -> slice:
        """Of the update [out, in] that is added to this place."""
        return self._along(0)

    @property
    def columns(self) -> slice:
        return self._along(1)

    def _along(self, dimension: int) -> slice:
        """By where the part begins in a contiguous tensor of two dimensions."""
        begin = divmod(self.part.offset, self.shape[1])
        start = begin[1 - dimension if self.is_turned else dimension]
        return slice(start, start + self.place.size[dimension])


class WatchedCopies(TorchDispatchMode):
    """Within it, copies into `parameters` are noted."""

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.placements: dict[str, list[Placement]] = {}
        self.doubtful: set[str] = set()  # parameters that something else has written
        self._names = {
            parameter.untyped_storage().data_ptr(): name
            for name, parameter in parameters.items()
        }
        self._parameters = parameters
        self._source: tuple[str, torch.Tensor] | None = None

    def told(
        self, weights: Iterable[tuple[str, torch.Tensor]]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """The same, as they are taken by whoever loads them."""
        for name, tensor in weights:
            self._source = name, tensor
            yield name, tensor
        self._source = None

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        done = func(*args, **(kwargs or {}))
        name = str(func)
        if name.partition(".")[2].partition(".")[0].endswith("_") and args:
            self._written(name, args)
        return done

    def _written(self, operation: str, args: tuple[Any, ...]) -> None:
        target = args[0]
        if not isinstance(target, torch.Tensor) or not target.numel():
            return
        parameter = self._names.get(target.untyped_storage().data_ptr())
        if parameter is None or operation.startswith(_HARMLESS):
            return
        placement = None
        if operation.startswith("aten.copy_") and isinstance(args[1], torch.Tensor):
            placement = self._placement(target, args[1], self._parameters[parameter])
        if placement is None:
            self.doubtful.add(parameter)
        else:
            self.placements.setdefault(parameter, []).append(placement)

    def _placement(
        self, target: torch.Tensor, source: torch.Tensor, parameter: torch.Tensor
    ) -> Placement | None:
        """None if the source is no part of the tensor that was handed out last."""
        if self._source is None or source.shape != target.shape:
            return None
        name, tensor = self._source
        begin, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        if not (begin <= source.data_ptr() < end and tensor.is_contiguous()):
            return None
        return Placement(
            tensor=name,
            shape=tuple(tensor.shape),
            part=View.seen(source, tensor),
            place=View.seen(target, parameter),
        )
