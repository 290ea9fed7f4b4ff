"""Kernels: the product of a linear layer, with what follows it fused where possible.

`Plain` works on every device. `OneDNN` keeps the weight in the blocked layout that a
CPU's vector units want and fuses activation, product or sum into the same pass: 1.2 to
2 times faster for the few rows of a decoding step. Its ops are those that torch's own
compiler emits (torch/_inductor/mkldnn_ir.py), no documented API: `kernels_for` tries
them once and falls back to `Plain`. Which of the two is faster is measured: see
`kernel_choice`.
"""

import logging
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

log = logging.getLogger(__name__)

Bias = Tensor | None


class Kernels(Protocol):
    """`x` is [rows, in], a weight [out, in] as `pack` returned it."""

    @property
    def name(self) -> str:
        """What people may call them."""

    @property
    def copies(self) -> bool:
        """Whether a packed weight has memory of its own."""

    @property
    def widens(self) -> bool:
        """Whether bfloat16 weights are multiplied by float32 rows: see `widening`."""

    def pack(self, weight: Tensor) -> Tensor: ...
    def buffer(self, golden: Tensor, before: Tensor | None) -> Tensor:
        """Memory to merge into and then to `pack`: that of `before`, a weight
        packed earlier that nobody needs any more, or other. Its content is lost."""

    def linear(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor: ...
    def linear_silu(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor: ...
    def linear_add(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor: ...
    def linear_mul(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor: ...


class Plain:
    name = "torch's own"
    copies = False
    widens = False

    def pack(self, weight: Tensor) -> Tensor:
        return weight

    def buffer(self, golden: Tensor, before: Tensor | None) -> Tensor:
        fits = before is not None and before.shape == golden.shape
        return before if before is not None and fits else torch.empty_like(golden)

    def linear(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor:
        return F.linear(x, weight, bias)

    def linear_silu(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor:
        return F.silu(F.linear(x, weight, bias), inplace=True)

    def linear_add(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor:
        return F.linear(x, weight, bias).add_(other)

    def linear_mul(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor:
        return F.linear(x, weight, bias).mul_(other)


class OneDNN:
    """`rows`: what the blocked layout is made for. `apart_from`: the number of rows
    from which on silu is computed after its product (None: always in it)."""

    copies = True
    widens = False

    def __init__(self, rows: int = 16, apart_from: int | None = None) -> None:
        self.name = f"oneDNN's, packed for {rows} rows"
        self.apart_from = apart_from
        self._rows = rows
        ops = torch.ops.mkldnn
        self._reorder = ops._reorder_linear_weight.default
        self._unary = ops._linear_pointwise.default
        self._binary = ops._linear_pointwise.binary
        # Where a weight is merged before `pack` takes its copy, by shape
        self._scratch: dict[torch.Size, Tensor] = {}

    def pack(self, weight: Tensor) -> Tensor:
        return self._reorder(weight, self._rows)

    def buffer(self, golden: Tensor, before: Tensor | None) -> Tensor:
        if golden.shape not in self._scratch:
            self._scratch[golden.shape] = torch.empty_like(golden)
        return self._scratch[golden.shape]

    def linear(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor:
        return self._unary(x, weight, bias, "none", [], "")

    def linear_silu(self, x: Tensor, weight: Tensor, bias: Bias) -> Tensor:
        if self.apart_from is not None and len(x) >= self.apart_from:
            return F.silu(self.linear(x, weight, bias), inplace=True)
        return self._unary(x, weight, bias, "swish", [], "")

    def linear_add(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor:
        return self._binary(x, other, weight, bias, "add")

    def linear_mul(
        self, x: Tensor, weight: Tensor, bias: Bias, other: Tensor
    ) -> Tensor:
        return self._binary(x, other, weight, bias, "mul")


def kernels_for(dtype: torch.dtype, device: torch.device, rows: int = 16) -> Kernels:
    """Packed ones for so many rows if they work here, else plain ones."""
    if device.type == "cpu" and dtype in (torch.float32, torch.bfloat16):
        try:
            return _tried(OneDNN(rows), dtype)
        except (RuntimeError, AttributeError, AssertionError) as error:
            reason = str(error).splitlines()[0] if str(error) else "wrong result"
            log.debug("oneDNN's packed linear does not work here (%s)", reason)
    return Plain()


def _tried(kernels: OneDNN, dtype: torch.dtype) -> OneDNN:
    """Raises whatever the ops raise, or AssertionError if they compute otherwise."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(3, 64, generator=random).to(dtype)
    weight = torch.randn(32, 64, generator=random).to(dtype)
    bias, other = weight[:, 0].clone(), x[:, :32].clone()
    plain, packed = Plain(), kernels.pack(weight)
    for ours, theirs in (
        (kernels.linear(x, packed, bias), plain.linear(x, weight, bias)),
        (kernels.linear_silu(x, packed, bias), plain.linear_silu(x, weight, bias)),
        (
            kernels.linear_add(x, packed, None, other),
            plain.linear_add(x, weight, None, other),
        ),
        (
            kernels.linear_mul(x, packed, None, other),
            plain.linear_mul(x, weight, None, other),
        ),
    ):
        assert torch.allclose(ours.float(), theirs.float(), rtol=0.05, atol=0.05)
    return kernels
