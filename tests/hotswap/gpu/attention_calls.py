"""Attention's kernels asked for a step, and held to float64."""

import torch
from torch import Tensor

from hotswap.model.gpu.kernels.attention import attend
from tests.hotswap.gpu import reference_attention
from tests.hotswap.gpu.attention_steps import Step
from tests.hotswap.gpu.guard_bands import UNWRITTEN, guard_bands

SCALING = 0.3


def exact(it: Step, window: int | None) -> Tensor:
    wide = (it.q.double(), it.keys.double(), it.values.double())
    return reference_attention.attend(*wide, it.table, SCALING, window)[: it.rows]


def assert_close(found: Tensor, it: Step, window: int | None) -> None:
    """Float32: its own sums. Below: one rounding of each softmax weight, which moves a
    row by half an ulp of its largest value at most, and one of the result."""
    expected = exact(it, window)
    dtype = it.q.dtype
    ulp = 0.0 if dtype == torch.float32 else torch.finfo(dtype).eps
    largest = it.values.double().nan_to_num().abs().max()
    bound = 1e-5 + ulp / 2 * (largest + expected.abs())
    error = (found.double() - expected).abs()
    assert (error <= bound).all(), f"{error.max()}, allowed {bound.min()}"


def call(it: Step, window: int | None) -> Tensor:
    """The rows that belong to a sequence; the others stay as they were."""
    with guard_bands():
        found = attend(it.q, it.keys, it.values, it.table, SCALING, window)
    assert (found[it.rows :] == UNWRITTEN).all()
    return found[: it.rows]
