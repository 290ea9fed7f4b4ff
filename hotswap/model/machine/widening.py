"""Widening: products of float32 rows with bfloat16 weights, by a C file of ours.

A CPU without units for bfloat16 has no fast product of it: torch's libraries either
emulate it or compute in float32 with weights of 32 bits, twice the bytes that a
decoding step reads. `widening.c` reads 16 bits and computes in float32. It is compiled
where a compiler is (`native`) and tried before it is used; else there is none.
"""

import ctypes
import logging
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from hotswap.adapters.generation import Delta
from hotswap.model.machine.kernels import Bias, Plain
from hotswap.model.machine.native import NoLibrary, library

log = logging.getLogger(__name__)

_NONE, _SILU, _ADD, _MUL = range(4)  # as in widening.c
_SOURCE = Path(__file__).with_name("widening.c")
_ADDRESS, _COUNT, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int


class Widening:
    """A weight is bfloat16, rows and results are float32, a bias is bfloat16.

    Packed it has the shape and the type of [out, in], but its numbers lie in panels:
    only these kernels can read it. Any number of threads computes the same bits.
    """

    name = "our own, which widen bfloat16 weights to float32"
    copies = True
    widens = True

    def __init__(self, native: ctypes.CDLL) -> None:
        self._linear, self._pack, self._merge = native.linear, native.pack, native.merge
        self._linear.argtypes = [*[_ADDRESS] * 5, *[_COUNT] * 3, _INT, _INT]
        self._pack.argtypes = [_ADDRESS, _ADDRESS, _COUNT, _COUNT, _INT]
        self._merge.argtypes = [
            *(_ADDRESS, _ADDRESS, _ADDRESS, ctypes.c_float, _ADDRESS),
            *(_COUNT, _COUNT, _COUNT, _INT),
        ]
        for function in (self._linear, self._pack, self._merge):
            function.restype = None
        self.block = int(native.block())
        # Where a weight is merged before `pack` takes its copy, by shape
        self._scratch: dict[torch.Size, Tensor] = {}

    def pack(self, weight: Tensor) -> Tensor:
        out, columns = weight.shape
        whole = -(-out // self.block) * self.block
        packed = weight.new_empty(whole, columns)[:out]
        weight = weight.contiguous()
        address, threads = _address(weight, torch.bfloat16), torch.get_num_threads()
        self._pack(address, packed.data_ptr(), columns, out, threads)
        return packed

    def buffer(self, golden: Tensor, before: Tensor | None) -> Tensor:
        if golden.shape not in self._scratch:
            self._scratch[golden.shape] = torch.empty_like(
                golden, memory_format=torch.contiguous_format
            )
        return self._scratch[golden.shape]

    def linear(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor:
        return self._product(x, weight, bias, None, _NONE)

    def linear_silu(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor:
        return self._product(x, weight, bias, None, _SILU)

    def linear_add(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor:
        return self._product(x, weight, bias, other, _ADD)

    def linear_mul(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor:
        return self._product(x, weight, bias, other, _MUL)

    def blocks(self, packed: Tensor) -> Tensor | None:
        """The memory of a packed weight as [out / block, in, block]; None if the last
        panel is not whole."""
        out, columns = packed.shape
        if out % self.block:
            return None
        return packed.view(-1, columns, self.block)

    def merge(self, golden: Tensor, delta: Delta, out: Tensor) -> None:
        """Write `round(golden + scale * b @ a)` to `out`, both [out / block, in, block]
        of bfloat16, summed in float32 and rounded once. Mutates `out` only."""
        panels, columns, block = golden.shape
        a = delta.a.float().t().contiguous()
        b = delta.b.float().view(panels, block, -1).transpose(1, 2).contiguous()
        self._merge(
            *(_address(golden, torch.bfloat16), a.data_ptr(), b.data_ptr()),
            *(delta.scale, _address(out, torch.bfloat16)),
            *(panels, columns, a.shape[1], torch.get_num_threads()),
        )

    def _product(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor | None, then: int
    ) -> Tensor:
        (out, columns), rows = weight.shape, x.shape[0]
        assert x.shape[1] == columns
        assert other is None or other.shape == (rows, out)
        assert bias is None or bias.shape == (out,)
        # Held until the call is over, where they are copies
        x, other = x.contiguous(), None if other is None else other.contiguous()
        y = x.new_empty(rows, out)
        self._linear(
            _address(x, torch.float32),
            _address(weight, torch.bfloat16),
            None if bias is None else _address(bias, torch.bfloat16),
            None if other is None else _address(other, torch.float32),
            y.data_ptr(),
            *(rows, columns, out, then, torch.get_num_threads()),
        )
        return y


@cache
def widening() -> Widening | None:
    """The kernels of this machine; None where they cannot be had, or are wrong."""
    try:
        kernels = Widening(library(_SOURCE))
        _try(kernels)
    except (NoLibrary, AttributeError, AssertionError) as error:
        log.info("no native products here: %s", str(error) or "wrong result")
        return None
    return kernels


def _address(tensor: Tensor, dtype: torch.dtype) -> int:
    assert tensor.dtype is dtype, f"{tensor.dtype} in the place of {dtype}"
    return tensor.data_ptr()


def _try(kernels: Widening) -> None:
    """Raises AssertionError if they compute otherwise than plain ones."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(70, 50, generator=random).bfloat16()
    bias, wide = weight[:, 0].contiguous(), weight.float()
    packed, plain = kernels.pack(weight), Plain()
    for rows in (1, 2, 3, 17):
        x = torch.randn(rows, 50, generator=random)
        other = torch.randn(rows, 70, generator=random)
        for ours, theirs in (
            (kernels.linear(x, packed, bias), plain.linear(x, wide, bias.float())),
            (kernels.linear_silu(x, packed, None), plain.linear_silu(x, wide, None)),
            (
                kernels.linear_add(x, packed, None, other),
                plain.linear_add(x, wide, None, other),
            ),
            (
                kernels.linear_mul(x, packed, None, other),
                plain.linear_mul(x, wide, None, other),
            ),
        ):
            assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    golden = torch.randn(2 * kernels.block, 50, generator=random).bfloat16()
    ones = torch.ones(1, 50), torch.ones(len(golden), 1)
    merged = kernels.pack(golden)
    blocks = kernels.blocks(merged)
    assert blocks is not None
    kernels.merge(blocks, Delta(*ones, scale=0.5), blocks)
    assert torch.equal(merged, kernels.pack((golden.float() + 0.5).bfloat16()))
