"""Segmented: LoRA of many adapters in one step, each row by its own, in C.

What torch has for it is one product for each adapter, or one masked product over all of
them (`eager.lora_stack`), which computes for each row what every adapter would make of
it: with eight adapters nearly half of what golden's own products take. `segmented.c`
reads a row's own factors only. It is compiled where a compiler is (`native`) and tried
before it is used; else there is none.
"""

import ctypes
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import silu

from hotswap.model.machine.native import NoLibrary, library

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("segmented.c")
_ADDRESS, _COUNT, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
_NONE, _SILU, _MUL = range(3)  # as in segmented.c
_TYPES = {  # of rows, of factors; likewise
    (torch.bfloat16, torch.bfloat16): 0,
    (torch.float32, torch.bfloat16): 1,
    (torch.float32, torch.float32): 2,
}
ROW_DTYPES = frozenset(rows for rows, _ in _TYPES)
_ROWS = 6  # likewise: rows that share what is read of an adapter

Part = tuple[int, int, int, int]
"""Ranks [start, stop) of a stack make the outputs [first, last)."""


class Places:
    """Where the ranks of each adapter lie in a stack, and which outputs they make."""

    def __init__(self, parts: Mapping[str, tuple[Part, ...]], out: int) -> None:
        """By key, each part of the `out` outputs once, with as many ranks as there are
        for it."""
        self._parts = parts
        self._nobody: tuple[Part, ...] = ((0, 0, 0, out),)

    def of(self, key: str) -> tuple[Part, ...]:
        """ "" is nobody, and who is not in the stack has no ranks there."""
        return self._parts.get(key, self._nobody)


class Segments:
    """The rows of a step by their adapters, as `segmented.c` wants them."""

    def __init__(self, rows: Sequence[tuple[Part, ...]]) -> None:
        alike: dict[tuple[Part, ...], list[int]] = {}
        for row, parts in enumerate(rows):
            alike.setdefault(parts, []).append(row)
        busy: list[list[int]] = []
        idle: list[list[int]] = []  # nothing is added to these outputs
        for parts, theirs in alike.items():
            tiles = -(-len(theirs) // _ROWS)
            size = -(-len(theirs) // tiles)
            column = 0
            for start, stop, first, last in parts:
                for n in range(0, len(theirs), size):
                    own = theirs[n : n + size]
                    unit = [*own, *[0] * (_ROWS - len(own)), len(own)]
                    unit += [start, stop, first, last, column]
                    (busy if stop > start else idle).append(unit)
                column += stop - start
        self.rows, self.is_idle = len(rows), not busy
        most = max(sum(stop - start for start, stop, *_ in parts) for parts in alike)
        # What lies at the addresses, for as long as this does
        self._units = torch.tensor(busy + idle, dtype=torch.int32)
        self._h = torch.empty(self.rows, most)
        units, h = self._units.data_ptr(), self._h.data_ptr()
        self._told = _Segments(units, h, len(busy), len(busy + idle), most)
        self.address = ctypes.addressof(self._told)


class _Segments(ctypes.Structure):
    _fields_ = (
        *((name, _ADDRESS) for name in ("units", "h")),
        *((name, _COUNT) for name in ("busy", "count", "most")),
    )


class StackedFactors:
    """`a` [ranks, in] and `b` [ranks, out] of a stack, contiguous. What is written to
    them later counts."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        assert a.dtype is b.dtype
        assert a.is_contiguous()
        assert b.is_contiguous()
        self.columns, self.out, self.dtype = a.shape[1], b.shape[1], a.dtype
        self._held = a, b
        self._told = _Factors(a.data_ptr(), b.data_ptr(), self.columns, self.out)
        self.address = ctypes.addressof(self._told)


class _Factors(ctypes.Structure):
    _fields_ = (
        *((name, _ADDRESS) for name in ("a", "b")),
        *((name, _COUNT) for name in ("in", "out")),
    )


class Segmented:
    """Rows are float32 or bfloat16, factors of their type or bfloat16; sums float32,
    rounded once. Any number of threads gives the same bits, and a row those that it
    would have alone."""

    def __init__(self, native: ctypes.CDLL) -> None:
        self._add = native.lora_add
        self._add.argtypes = [*[_ADDRESS] * 5, _INT, _INT, _INT]
        self._add.restype = None

    def add(
        self, y: Tensor, x: Tensor, factors: StackedFactors, rows: Segments
    ) -> Tensor:
        """`y` [rows, out] plus what each row's adapter makes of `x` [rows, in]. Mutates
        and returns `y`."""
        return y if rows.is_idle else self._added(y, x, factors, rows, then=_NONE)

    def add_silu(
        self, y: Tensor, x: Tensor, factors: StackedFactors, rows: Segments
    ) -> Tensor:
        """silu of that, for all rows."""
        return self._added(y, x, factors, rows, then=_SILU)

    def add_mul(
        self,
        y: Tensor,
        x: Tensor,
        factors: StackedFactors,
        rows: Segments,
        other: Tensor,
    ) -> Tensor:
        """That times `other` [rows, out], for all rows."""
        return self._added(y, x, factors, rows, then=_MUL, other=other)

    def _added(
        self,
        y: Tensor,
        x: Tensor,
        factors: StackedFactors,
        rows: Segments,
        *,
        then: int,
        other: Tensor | None = None,
    ) -> Tensor:
        assert x.shape == (rows.rows, factors.columns)
        assert y.shape == (rows.rows, factors.out)
        assert x.dtype is y.dtype
        assert y.is_contiguous()
        # Held until the call is over, where they are copies
        x, address = x.contiguous(), None
        if other is not None:
            assert other.shape == y.shape
            assert other.dtype is y.dtype
            other = other.contiguous()
            address = other.data_ptr()
        self._add(
            *(x.data_ptr(), y.data_ptr(), address, factors.address, rows.address),
            *(_TYPES[x.dtype, factors.dtype], then, torch.get_num_threads()),
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


def _try(made: Segmented) -> None:
    """Raises AssertionError if it computes otherwise than torch."""
    random = torch.Generator().manual_seed(0)
    x, a, b, y, other = (
        torch.randn(*shape, generator=random).bfloat16().float()
        for shape in ((9, 70), (9, 70), (9, 75), (9, 75), (9, 75))
    )
    places = Places(
        {"a": ((0, 1, 0, 75),), "b": ((1, 3, 0, 40), (3, 9, 40, 75))}, out=75
    )
    owners = ("b", "b", "", "a", "b", "b", "a", "b", "b")
    rows = Segments([places.of(owner) for owner in owners])
    wanted = y.clone()
    for row, owner in enumerate(owners):
        for start, stop, first, last in places.of(owner):
            wanted[row, first:last] += (
                x[row] @ a[start:stop].t() @ b[start:stop, first:last]
            )
    for (dtype, of_factors), off in zip(_TYPES, (1e-2, 1e-4, 1e-4), strict=True):
        x, y, other = x.to(dtype), y.to(dtype), other.to(dtype)
        given = x, StackedFactors(a.to(of_factors), b.to(of_factors)), rows
        for found, right in (
            (made.add(y.clone(), *given), wanted),
            (made.add_silu(y.clone(), *given), silu(wanted)),
            (made.add_mul(y.clone(), *given, other), wanted * other),
        ):
            assert torch.allclose(found.float(), right.float(), rtol=off, atol=off)
