"""Guard bands: whoever writes beside what he allocated is found."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any
from unittest import mock

import torch
from torch import Tensor

UNWRITTEN = -77.0
_BAND = 256  # numbers, before and behind


@contextmanager
def guard_bands() -> Iterator[None]:
    """What `torch.empty` and `torch.empty_like` give is UNWRITTEN and lies between
    bands; afterwards AssertionError if those have changed."""
    wholes: list[Tensor] = []

    def empty(*size: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
        shape = size[0] if isinstance(size[0], tuple | torch.Size) else size
        room = prod(shape) + 2 * _BAND
        wholes.append(torch.full((room,), UNWRITTEN, dtype=dtype, device=device))
        return wholes[-1][_BAND:-_BAND].view(shape)

    def empty_like(tensor: Tensor) -> Tensor:
        return empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)

    with (
        mock.patch.object(torch, "empty", empty),
        mock.patch.object(torch, "empty_like", empty_like),
    ):
        yield
    for whole in wholes:
        bands = torch.cat((whole[:_BAND], whole[-_BAND:]))
        assert (bands == UNWRITTEN).all(), "written beside the tensor"
