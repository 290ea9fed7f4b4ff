"""Bounds: what PEFT may take in memory and time by a config's word alone.

It makes its layers by the configuration before it looks at the file: a rank of a
thousand million is memory for it, though the file holds four rows.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from peft import PeftConfig
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from hotswap.adapters.layout import Layout, is_hollow
from hotswap.adapters.settings import refused

_MAKE = frozenset(
    (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
)
_MAKE_ONE_SIDE = frozenset((torch.arange, torch.randperm, torch.linspace))
# Layers of their own kind that are not in the file, as VeRA's projections may be
_SPARE = 1 << 24
# How often something is repeated for each layer; PEFT's defaults are below 10.
_REPEATS = ("num_cayley_neumann_terms", "depth", "boft_n_butterfly_factor")
_MOST_REPEATS = 100


def check_repeats(config: PeftConfig) -> None:
    """Raises AdapterRefused for work without end."""
    for field in _REPEATS:
        value = getattr(config, field, 0)
        if value > _MOST_REPEATS:
            raise refused("bad_config", f"{field}={value}, and at most {_MOST_REPEATS}")


@contextmanager
def bounded(tensors: Mapping[str, torch.Tensor], layout: Layout) -> Iterator[None]:
    """Layers that are made in here may hold a few times as many numbers as the file,
    and some more. Raises AdapterRefused before memory is taken for one that is too
    large, and as soon as all together are."""
    largest = max(prod(shape) for shape in layout.linear.values())
    numbers = sum(tensor.numel() for tensor in tensors.values())
    most = _SPARE + 4 * numbers + 2 * largest
    kept = 0

    def keep(size: int) -> None:
        nonlocal kept
        kept += size
        _check(kept, most, numbers)

    _HERE.keep = keep
    try:
        with _Watched(lambda size: _check(size, most + 2 * largest, numbers)):
            yield
    finally:
        _HERE.keep = None


class _Here(threading.local):
    """`keep`: what is told of each tensor that a layer of this thread's gets."""

    keep: Callable[[int], None] | None = None


_HERE = _Here()


def _told(module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
    if _HERE.keep is not None and tensor is not None and not is_hollow(tensor):
        _HERE.keep(tensor.numel())


# Once and for good: whatever thread makes a layer goes through torch's hooks, and must
# not find that another one comes or goes meanwhile.
register_module_parameter_registration_hook(_told)
register_module_buffer_registration_hook(_told)


class _Watched(TorchFunctionMode):
    """Tells the size of every new tensor before it is made."""

    def __init__(self, check: Callable[[int], None]) -> None:
        super().__init__()
        self._check = check

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _MAKE:
            first = args[0] if args else kwargs.get("size", ())
            sides = args if isinstance(first, int) else first
            self._check(prod(_ints(sides)))
        elif func in _MAKE_ONE_SIDE:
            self._check(max(_ints(args), default=0))
        elif func is torch.eye:
            self._check(max(_ints(args), default=0) ** 2)
        return func(*args, **kwargs)


def _ints(values: Iterable[object]) -> Iterator[int]:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool):
            yield value
        elif isinstance(value, list | tuple):
            yield from _ints(value)


def _check(size: int, most: int, numbers: int) -> None:
    if size > most:
        raise refused(
            "wrong_shape",
            f"by its settings it has more than {most} numbers, by its file {numbers}",
        )
