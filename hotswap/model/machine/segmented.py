"""Segmented: LoRA of many adapters in one step, each row by its own, in C.

What torch has for it is one product for each adapter, or one masked product over all of
them (`eager.lora_stack`), which computes for each row what every adapter would make of
it: with eight adapters nearly half of what golden's own products take. `segmented.c`
reads a row's own factors only. It is compiled where a compiler is (`native`) and tried
before it is used; else there is none.
"""

import ctypes
import logging
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from hotswap.model.machine.native import NoLibrary, library

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("segmented.c")
_ADDRESS, _COUNT, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
_PAIR = 2  # rows that share what is read of an adapter


class Segments:
    """The rows of a step that have an adapter, and where its ranks lie in a stack."""

    def __init__(self, ranks: list[slice | None]) -> None:
        """`ranks`: of each row; None: it has none."""
        units: list[tuple[int, int, int, int]] = []
        row = 0
        while row < len(ranks):
            own = ranks[row]
            rows = _PAIR if ranks[row : row + _PAIR] == [own] * _PAIR else 1
            if own is not None:
                units.append((row, rows, own.start, own.stop))
            row += rows
        self.rows, self.count = len(ranks), len(units)
        self.most = max((stop - start for _, _, start, stop in units), default=0)
        self.units = torch.tensor(units, dtype=torch.int32)


class Segmented:
    """Everything is float32 and contiguous. Any number of threads gives the same bits,
    and a row those that it would have alone."""

    def __init__(self, native: ctypes.CDLL) -> None:
        self._add = native.lora_add
        self._add.argtypes = [*[_ADDRESS] * 6, *[_COUNT] * 4, _INT]
        self._add.restype = None

    def add(self, y: Tensor, x: Tensor, a: Tensor, b: Tensor, rows: Segments) -> Tensor:
        """`y` [rows, out] plus what each row's adapter makes of `x` [rows, in], with
        `a` [ranks, in] and `b` [ranks, out]. Mutates and returns `y`."""
        assert (x.shape[0], y.shape[0]) == (rows.rows, rows.rows)
        assert (x.shape[1], y.shape[1]) == (a.shape[1], b.shape[1])
        if not rows.count:
            return y
        x, h = x.contiguous(), x.new_empty(rows.rows, rows.most)
        self._add(
            *map(_address, (x, a, b, y, h)),
            rows.units.data_ptr(),
            *(rows.count, x.shape[1], y.shape[1], rows.most),
            torch.get_num_threads(),
        )
        return y


@cache
def segmented() -> Segmented | None:
    """That of this machine; None where it cannot be had, or is wrong."""
    try:
        made = Segmented(library(_SOURCE))
        _try(made)
    except (NoLibrary, AttributeError, AssertionError) as error:
        log.info("no native LoRA here: %s", str(error) or "wrong result")
        return None
    return made


def _address(tensor: Tensor) -> int:
    assert tensor.dtype is torch.float32
    assert tensor.is_contiguous()
    return tensor.data_ptr()


def _try(made: Segmented) -> None:
    """Raises AssertionError if it computes otherwise than torch."""
    random = torch.Generator().manual_seed(0)
    x, a, b, y = (
        torch.randn(*shape, generator=random)
        for shape in ((6, 70), (9, 70), (9, 75), (6, 75))
    )
    bounds = [slice(*pair) for pair in pairwise((0, 1, 3, 9))]
    ranks = [bounds[2], bounds[2], bounds[2], None, bounds[0], bounds[1]]
    wanted = y.clone()
    for row, own in enumerate(ranks):
        if own is not None:
            wanted[row] += x[row] @ a[own].t() @ b[own]
    found = made.add(y, x, a, b, Segments(ranks))
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
