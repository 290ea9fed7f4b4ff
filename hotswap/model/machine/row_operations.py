"""RowOperations: what a decoder does to each row between its products, in C.

A norm is five operations of torch, a rotation four, and a step of a small model has
some ninety of them: where a row takes 20 ms, they are several. `row_operations.c` is
compiled where a compiler is (`native`) and tried before it is used; else there is none.
"""

import ctypes
import logging
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from hotswap.model.machine.native import NoLibrary, library

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("row_operations.c")
_ADDRESS, _COUNT, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
_IS_WIDE = {torch.bfloat16: 0, torch.float32: 1}  # as in row_operations.c
ROW_DTYPES = frozenset(_IS_WIDE)


class RowOperations:
    """Rows are float32 or bfloat16, what is computed on the way float32. Any number of
    threads gives the same bits, and a row those that it would have alone."""

    def __init__(self, native: ctypes.CDLL) -> None:
        self._rms_norm, self._rotate = native.rms_norm, native.rotate
        self._rms_norm.argtypes = [
            *([_ADDRESS] * 3),
            *(_COUNT, _COUNT, ctypes.c_float, _INT, _INT, _INT),
        ]
        self._rotate.argtypes = [*[_ADDRESS] * 3, *[_COUNT] * 4, _INT, _INT]
        self._rms_norm.restype = self._rotate.restype = None

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """x / sqrt(mean(x^2) + eps) * weight: x [rows, width], weight [width], of the
        type of x or bfloat16."""
        rows, width = x.shape
        assert weight.dtype in (x.dtype, torch.bfloat16)
        assert weight.shape == (width,)
        assert weight.is_contiguous()
        x = x.contiguous()
        y = torch.empty_like(x)
        self._rms_norm(
            *(x.data_ptr(), weight.data_ptr(), y.data_ptr()),
            *(rows, width, eps, _IS_WIDE[x.dtype], _IS_WIDE[weight.dtype]),
            torch.get_num_threads(),
        )
        return y

    def rotate(self, x: Tensor, heads: int, cos: Tensor, sin: Tensor) -> None:
        """x cos + rotate_half(x) sin, in place, of the first `heads` of x [rows, heads
        and others, dim]; cos and sin [rows, 1, dim], the first half of sin with its
        sign turned. All of one type."""
        rows, _, dim = x.shape
        for each in (x, cos, sin):
            assert each.dtype is x.dtype
            assert each.is_contiguous()
        assert cos.shape == sin.shape == (rows, 1, dim)
        assert heads <= x.shape[1]
        self._rotate(
            *(x.data_ptr(), cos.data_ptr(), sin.data_ptr()),
            *(rows, x.stride(0), heads, dim),
            *(_IS_WIDE[x.dtype], torch.get_num_threads()),
        )


@cache
def row_operations() -> RowOperations | None:
    """Those of this machine; None where they cannot be had, or are wrong."""
    try:
        made = RowOperations(library(_SOURCE))
        _try(made)
    except (NoLibrary, AttributeError, AssertionError) as error:
        log.info("no native row operations here: %s", str(error) or "wrong result")
        return None
    return made


def _try(made: RowOperations) -> None:
    """Raises AssertionError if they compute otherwise than torch."""
    random = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(*shape, generator=random) for shape in ((3, 37), (37,)))
    half = weight.bfloat16()
    for rows, given, off in (
        (x, weight, 1e-5),
        (x, half, 1e-5),
        (x.bfloat16(), half, 2e-2),
    ):
        wanted = rms_norm(rows.float(), (37,), given.float(), 1e-5)
        found = made.rms_norm(rows, given, 1e-5)
        assert found.dtype is rows.dtype
        assert torch.allclose(found.float(), wanted, rtol=off)
    x = torch.randn(3, 4, 22, generator=random)
    cos, sin = (torch.randn(3, 1, 22, generator=random) for _ in range(2))
    wanted = torch.cat(((x * cos + x.roll(11, -1) * sin)[:, :3], x[:, 3:]), 1)
    for dtype, off in ((torch.bfloat16, 5e-2), (torch.float32, 1e-5)):
        found = x.to(dtype, copy=True)
        made.rotate(found, 3, cos.to(dtype), sin.to(dtype))
        assert torch.allclose(found.float(), wanted, rtol=off, atol=off)
